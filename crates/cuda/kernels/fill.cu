// Fills an array with one value. T is the type of its elements.

KERNEL(fill)(T* __restrict__ y, Longs<8> sizes, Longs<8> strides, u64 count, double value) {
    T element = narrow<T>(value);
    for (u64 i = thread_number(); i < count; i += thread_count()) y[position(i, sizes, strides)] = element;
}
