// Images times a sparse matrix along each axis. T is the type of the elements, A what is computed in.
//
// A matrix is `starts` (one more than it has rows), the column of each entry, and its weight.

KERNEL(resample2d)(const T* __restrict__ x, T* __restrict__ y, const i64* __restrict__ row_starts,
                   const i64* __restrict__ row_columns, const double* __restrict__ row_weights,
                   const i64* __restrict__ column_starts, const i64* __restrict__ column_columns,
                   const double* __restrict__ column_weights, u64 count, i64 C, i64 OH, i64 OW, Longs<4> from,
                   Longs<4> to, int last) {
    bool small = count <= 0x7fffffffULL;
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        Place p = place_of_number(i, small, last, C, OH, OW);
        const T* plane = x + p.n * from.at[0] + p.c * from.at[1];
        A sum = A(0);
        for (i64 k = row_starts[p.h]; k < row_starts[p.h + 1]; k++) {
            const T* row = plane + row_columns[k] * from.at[2];
            A inner = A(0);
            for (i64 l = column_starts[p.w]; l < column_starts[p.w + 1]; l++)
                inner += A(column_weights[l]) * widen<A>(row[column_columns[l] * from.at[3]]);
            sum += A(row_weights[k]) * inner;
        }
        y[at_place(p, to)] = narrow<T>(sum);
    }
}
