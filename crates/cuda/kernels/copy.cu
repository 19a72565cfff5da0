// Copies. S and D are the types of source and target, R the dimensions left, V elements at once.

typedef Pack<S, V> Source;
typedef Pack<D, V> Target;

// `inner` is the source's stride between the elements of a pack: 0 or 1.
KERNEL(copy)(const S* __restrict__ x, D* __restrict__ y, Longs<R> sizes, Longs<R> from, Longs<R> to, u64 count,
             int inner) {
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        i64 source, target;
        if (count <= 0x7fffffffULL) {
            source = locate<u32, R>(u32(i), sizes, from);
            target = locate<u32, R>(u32(i), sizes, to);
        } else {
            source = locate<u64, R>(i, sizes, from);
            target = locate<u64, R>(i, sizes, to);
        }
        Target out;
        if (V == 1 || inner == 0) {
            D element = convert<D>(x[source]);
            for (int v = 0; v < V; v++) out.at[v] = element;
        } else {
            Source in = *reinterpret_cast<const Source*>(x + source);
            for (int v = 0; v < V; v++) out.at[v] = convert<D>(in.at[v]);
        }
        *reinterpret_cast<Target*>(y + target) = out;
    }
}

// Where the elements adjacent in the source are not those adjacent in the target: tiles of 32 by 32 go
// through shared memory. The source goes along `rows` in steps of 1, the target along `columns`.
KERNEL(transpose)(const S* __restrict__ x, D* __restrict__ y, i64 rows, i64 columns, i64 from_batch,
                  i64 from_column, i64 to_batch, i64 to_row, i64 row_tiles, i64 column_tiles) {
    SHARED D tile[32][33];
    i64 block = blockIdx.x;
    i64 batch = block / (row_tiles * column_tiles), rest = block % (row_tiles * column_tiles);
    i64 row0 = rest / column_tiles * 32, column0 = rest % column_tiles * 32;
    for (int j = threadIdx.y; j < 32; j += 8) {
        i64 row = row0 + threadIdx.x, column = column0 + j;
        if (row < rows && column < columns)
            tile[j][threadIdx.x] = convert<D>(x[batch * from_batch + column * from_column + row]);
    }
    __syncthreads();
    for (int j = threadIdx.y; j < 32; j += 8) {
        i64 row = row0 + j, column = column0 + threadIdx.x;
        if (row < rows && column < columns)
            y[batch * to_batch + row * to_row + column] = tile[threadIdx.x][j];
    }
}
