// Fills an array with one value. D is the type of its elements, R the dimensions left, V elements at once.

typedef Pack<D, V> Target;

KERNEL(fill)(D* __restrict__ y, Longs<R> sizes, Longs<R> to, u64 count, double value) {
    D element = narrow<D>(value);
    Target out;
    for (int v = 0; v < V; v++) out.at[v] = element;
    for (u64 i = thread_number(); i < count; i += thread_count())
        *reinterpret_cast<Target*>(y + locate<u64, R>(i, sizes, to)) = out;
}
