// Adding by index. T is the type of the elements.

// A thread takes a line along the dimension, so that nothing else adds to its elements of y meanwhile, and
// adds in the order of the line.
KERNEL(scatter_add)(const T* __restrict__ x, const i64* __restrict__ index, T* __restrict__ y, Longs<8> sizes,
                    Longs<8> from, Longs<8> index_strides, Longs<8> to, u64 lines, i64 length, i64 from_along,
                    i64 index_along, i64 to_along, i64 limit, u64* fault, u64 launch) {
    for (u64 i = thread_number(); i < lines; i += thread_count()) {
        const T* source = x + position(i, sizes, from);
        const i64* where = index + position(i, sizes, index_strides);
        T* target = y + position(i, sizes, to);
        for (i64 k = 0; k < length; k++) {
            i64 which = where[k * index_along];
            if (in_range(which, limit, fault, launch)) target[which * to_along] += source[k * from_along];
        }
    }
}
