// Random numbers that are a function of key and logical index: the same bits as on every other device.
// T is the type of the elements.

struct Words { u32 at[4]; };

// Philox4x32 with ten rounds (Salmon et al., SC 2011).
DEVICE Words philox(u64 block, u32 stream, u64 key) {
    u32 c0 = u32(block), c1 = u32(block >> 32), c2 = stream, c3 = 0, k0 = u32(key), k1 = u32(key >> 32);
    for (int round = 0; round < 10; round++) {
        u32 left_high = __umulhi(0xD2511F53u, c0), left_low = 0xD2511F53u * c0;
        u32 right_high = __umulhi(0xCD9E8D57u, c2), right_low = 0xCD9E8D57u * c2;
        u32 n0 = right_high ^ c1 ^ k0, n2 = left_high ^ c3 ^ k1;
        c0 = n0;
        c1 = right_low;
        c2 = n2;
        c3 = left_low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

DEVICE double unit(u32 low, u32 high) {
    u64 bits = u64(low) | (u64(high) << 32);
    return double(bits >> 11) * (1.0 / 9007199254740992.0);
}

DEVICE double uniform(u64 index, u64 key) {
    Words w = philox(index >> 1, 1, key);
    return index & 1 ? unit(w.at[2], w.at[3]) : unit(w.at[0], w.at[1]);
}

// `kind` 0: uniform from a to b. 1: normal with mean a and deviation b. 2: b with probability a, else 0.
KERNEL(random)(T* __restrict__ y, Longs<8> sizes, Longs<8> to, Longs<8> logical, u64 count, int kind, u64 key,
               double a, double b) {
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        u64 index = u64(position(i, sizes, logical));
        double value;
        if (kind == 0) {
            value = __dadd_rn(a, __dmul_rn(__dadd_rn(b, -a), uniform(index, key)));
        } else if (kind == 1) {
            Words w = philox(index >> 1, 2, key);
            double radius = sqrt(-2.0 * log(1.0 - unit(w.at[0], w.at[1])));
            double angle = 6.283185307179586 * unit(w.at[2], w.at[3]);
            value = __dadd_rn(a, __dmul_rn(b, radius * (index & 1 ? sin(angle) : cos(angle))));
        } else {
            Words w = philox(index >> 2, 0, key);
            u32 lane = u32(index & 3), word = lane == 0 ? w.at[0] : lane == 1 ? w.at[1] : lane == 2 ? w.at[2] : w.at[3];
            float draw = float(word >> 8) * (1.0f / 16777216.0f);
            value = double(draw) < a ? b : 0.0;
        }
        y[position(i, sizes, to)] = narrow<T>(value);
    }
}
