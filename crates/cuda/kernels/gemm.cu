// Batched products of matrices with any strides. T is the type of the factors, D that of the results.

struct Matrix {
    const T* base;
    i64 row, column;
    DEVICE_MEMBER A at(u64 i, u64 j) const { return widen<A>(base[i64(i) * row + i64(j) * column]); }
};

struct Results {
    D* base;
    i64 row, column;
    int accumulate;
    DEVICE_MEMBER void put(u64 i, u64 j, A sum) const {
        D* to = base + i64(i) * row + i64(j) * column;
        *to = narrow<D>(accumulate ? widen<A>(*to) + sum : sum);
    }
};

// Strides are those of batch, row and column.
KERNEL(gemm)(const T* __restrict__ a, const T* __restrict__ b, D* __restrict__ c, u64 M, u64 N, u64 K, Longs<3> of_a,
             Longs<3> of_b, Longs<3> of_c, int accumulate) {
    Tile t = tile_of_block(M, N);
    i64 batch = i64(t.rest);
    Matrix left{a + batch * of_a.at[0], of_a.at[1], of_a.at[2]}, right{b + batch * of_b.at[0], of_b.at[1], of_b.at[2]};
    Sums sums;
    multiply(left, right, t.m0, t.n0, M, N, 0, K, of_a.at[2] == 1, of_b.at[1] == 1, sums);
    for_each_result(t.m0, t.n0, M, N, sums, Results{c + batch * of_c.at[0], of_c.at[1], of_c.at[2], accumulate});
}
