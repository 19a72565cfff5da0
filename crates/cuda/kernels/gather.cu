// Picking by index. T is the type of the elements.

// Every element of y is that of x at its index along one dimension, of which `along` is the stride in x.
KERNEL(gather)(const T* __restrict__ x, const i64* __restrict__ index, T* __restrict__ y, Longs<8> sizes,
               Longs<8> from, Longs<8> index_strides, Longs<8> to, u64 count, i64 along, i64 limit, u64* fault,
               u64 launch) {
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        i64 which = index[position(i, sizes, index_strides)];
        if (in_range(which, limit, fault, launch))
            y[position(i, sizes, to)] = x[position(i, sizes, from) + which * along];
    }
}
