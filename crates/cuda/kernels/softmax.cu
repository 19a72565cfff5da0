// Softmax along one dimension, its logarithm, and their gradients. A warp takes a line. T is the type of the
// elements, A what is computed in.

DEVICE u64 line_number() { return u64(blockIdx.x) * blockDim.y + threadIdx.y; }

DEVICE A warp_max(A x) {
    for (int m = 16; m > 0; m >>= 1) {
        A other = __shfl_xor_sync(0xffffffffu, x, m);
        x = other > x ? other : x;
    }
    return x;
}

KERNEL(softmax)(const T* __restrict__ x, T* __restrict__ y, u64 lines, Longs<8> sizes, Longs<8> from, Longs<8> to,
                i64 length, i64 from_along, i64 to_along, int log_wanted) {
    u64 line = line_number();
    bool active = line < lines;
    u64 which = active ? line : 0;
    const T* source = x + position(which, sizes, from);
    T* target = y + position(which, sizes, to);
    A largest = A(-INFINITY_F32);
    for (i64 k = threadIdx.x; k < length; k += 32) {
        A value = widen<A>(source[k * from_along]);
        largest = value > largest ? value : largest;
    }
    largest = warp_max(largest);
    A sum = A(0);
    for (i64 k = threadIdx.x; k < length; k += 32) sum += exp(widen<A>(source[k * from_along]) - largest);
    sum = warp_sum(sum);
    if (!active) return;
    for (i64 k = threadIdx.x; k < length; k += 32) {
        A value = widen<A>(source[k * from_along]);
        A result = log_wanted ? (value - largest) - log(sum) : exp(value - largest) / sum;
        target[k * to_along] = narrow<T>(result);
    }
}

KERNEL(softmax_grad)(const T* __restrict__ gy, const T* __restrict__ y, T* __restrict__ gx, u64 lines, Longs<8> sizes,
                     Longs<8> gy_strides, Longs<8> y_strides, Longs<8> gx_strides, i64 length, i64 gy_along,
                     i64 y_along, i64 gx_along, int log_wanted) {
    u64 line = line_number();
    bool active = line < lines;
    u64 which = active ? line : 0;
    const T* grad = gy + position(which, sizes, gy_strides);
    const T* result = y + position(which, sizes, y_strides);
    T* target = gx + position(which, sizes, gx_strides);
    A sum = A(0);
    for (i64 k = threadIdx.x; k < length; k += 32) {
        A g = widen<A>(grad[k * gy_along]);
        sum += log_wanted ? g : g * widen<A>(result[k * y_along]);
    }
    sum = warp_sum(sum);
    if (!active) return;
    for (i64 k = threadIdx.x; k < length; k += 32) {
        A g = widen<A>(grad[k * gy_along]), r = widen<A>(result[k * y_along]);
        target[k * gx_along] = narrow<T>(log_wanted ? g - exp(r) * sum : r * (g - sum));
    }
}
