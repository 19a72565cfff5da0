// Sums, maxima and minima over some dimensions. T is the source's type, D the target's, A what is computed
// in, KIND 0 for a sum, 1 for a maximum, 2 for a minimum.

struct Best {
    A value;
    i64 at;
};

#if KIND == 0
DEVICE A nothing() { return A(0); }
DEVICE A join(A a, A b) { return a + b; }
typedef A State;
DEVICE State take(A x, i64) { return x; }
DEVICE A value_of(State s) { return s; }
DEVICE i64 place_of(State) { return 0; }
#else
typedef Best State;
// No element: a place that is after every other.
DEVICE State nothing() { return Best{A(0), 0x7fffffffffffffffLL}; }
// The first of the best, in the order of their places; not a number is better than numbers.
DEVICE State join(State a, State b) {
    if (a.at == 0x7fffffffffffffffLL) return b;
    if (b.at == 0x7fffffffffffffffLL) return a;
    bool na = is_nan(a.value), nb = is_nan(b.value);
    if (na || nb) {
        if (na && nb) return a.at < b.at ? a : b;
        return na ? a : b;
    }
    if (a.value == b.value) return a.at < b.at ? a : b;
    bool better = KIND == 1 ? a.value > b.value : a.value < b.value;
    return better ? a : b;
}
DEVICE State take(A x, i64 at) { return Best{x, at}; }
DEVICE A value_of(State s) { return s.value; }
DEVICE i64 place_of(State s) { return s.at; }
#endif

DEVICE void store(State s, u64 output, D* y, i64* index, const Longs<8>& kept, const Longs<8>& to,
                  const Longs<8>& index_to) {
    y[position(output, kept, to)] = narrow<D>(value_of(s));
    if (index) index[position(output, kept, index_to)] = place_of(s);
}

// Threads of a row of 32 take neighbouring outputs, the 8 rows share the reduced elements of a part. With
// more than one part the results go to `partial`, part after part.
KERNEL(reduce_columns)(const T* __restrict__ x, D* __restrict__ y, i64* __restrict__ index, State* __restrict__ partial,
                       u64 outputs, Longs<8> kept, Longs<8> from, Longs<8> to, Longs<8> index_to, u64 terms,
                       Longs<8> reduced, Longs<8> step, u64 parts, u64 output_blocks) {
    SHARED State shared[8][32];
    u64 output = (blockIdx.x % output_blocks) * 32 + threadIdx.x, part = blockIdx.x / output_blocks;
    u64 length = (terms + parts - 1) / parts, begin = part * length, end = begin + length;
    if (end > terms) end = terms;
    State s = nothing();
    if (output < outputs) {
        const T* base = x + position(output, kept, from);
        bool small = terms <= 0x7fffffffULL;
        for (u64 i = begin + threadIdx.y; i < end; i += 8) {
            i64 at = small ? locate<u32, 8>(u32(i), reduced, step) : position(i, reduced, step);
            s = join(s, take(widen<A>(base[at]), i64(i)));
        }
    }
    shared[threadIdx.y][threadIdx.x] = s;
    __syncthreads();
    if (threadIdx.y == 0 && output < outputs) {
        for (int j = 1; j < 8; j++) s = join(s, shared[j][threadIdx.x]);
        if (parts == 1) store(s, output, y, index, kept, to, index_to);
        else partial[part * outputs + output] = s;
    }
}

// A block takes one output, its threads go along the reduced elements of a part side by side.
KERNEL(reduce_rows)(const T* __restrict__ x, D* __restrict__ y, i64* __restrict__ index, State* __restrict__ partial,
                    u64 outputs, Longs<8> kept, Longs<8> from, Longs<8> to, Longs<8> index_to, u64 terms,
                    Longs<8> reduced, Longs<8> step, u64 parts, u64 output_blocks) {
    SHARED State shared[256];
    u64 output = blockIdx.x % output_blocks, part = blockIdx.x / output_blocks;
    u64 length = (terms + parts - 1) / parts, begin = part * length, end = begin + length;
    if (end > terms) end = terms;
    const T* base = x + position(output, kept, from);
    State s = nothing();
    bool small = terms <= 0x7fffffffULL;
    for (u64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
        i64 at = small ? locate<u32, 8>(u32(i), reduced, step) : position(i, reduced, step);
        s = join(s, take(widen<A>(base[at]), i64(i)));
    }
    shared[threadIdx.x] = s;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] = join(shared[threadIdx.x], shared[threadIdx.x + half]);
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        if (parts == 1) store(shared[0], output, y, index, kept, to, index_to);
        else partial[part * outputs + output] = shared[0];
    }
}

// Joins the parts of each output, in their order: a thread an output.
KERNEL(reduce_parts)(const State* __restrict__ partial, D* __restrict__ y, i64* __restrict__ index, u64 outputs,
                     Longs<8> kept, Longs<8> to, Longs<8> index_to, u64 parts) {
    for (u64 output = thread_number(); output < outputs; output += thread_count()) {
        State s = nothing();
        for (u64 part = 0; part < parts; part++) s = join(s, partial[part * outputs + output]);
        store(s, output, y, index, kept, to, index_to);
    }
}

// The same where there are many parts: a row of 32 threads an output.
KERNEL(reduce_many_parts)(const State* __restrict__ partial, D* __restrict__ y, i64* __restrict__ index, u64 outputs,
                          Longs<8> kept, Longs<8> to, Longs<8> index_to, u64 parts) {
    SHARED State shared[8][32];
    u64 output = u64(blockIdx.x) * 8 + threadIdx.y;
    State s = nothing();
    if (output < outputs)
        for (u64 part = threadIdx.x; part < parts; part += 32) s = join(s, partial[part * outputs + output]);
    shared[threadIdx.y][threadIdx.x] = s;
    __syncthreads();
    for (int half = 16; half > 0; half /= 2) {
        if (int(threadIdx.x) < half)
            shared[threadIdx.y][threadIdx.x] = join(shared[threadIdx.y][threadIdx.x], shared[threadIdx.y][threadIdx.x + half]);
        __syncthreads();
    }
    if (threadIdx.x == 0 && output < outputs) store(shared[threadIdx.y][0], output, y, index, kept, to, index_to);
}
