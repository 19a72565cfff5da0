// A product of matrices by tiles: a block of 16 by 16 threads computes 64 by 64 results, 16 factors at a time
// through shared memory, each thread 4 by 4 of them.
//
// A is what is computed in. The matrices are whatever `Left` and `Right` give for an index; both have
// `A at(u64 row, u64 column)`, which is asked for indices in range only. `along` says whether neighbouring
// threads take neighbouring factors (columns of the left, rows of the right) or neighbouring results.

struct Sums { A at[4][4]; };

template <class Left, class Right>
DEVICE void multiply(const Left& left, const Right& right, u64 m0, u64 n0, u64 M, u64 N, u64 begin, u64 end,
                     bool left_along, bool right_along, Sums& sums) {
    SHARED A a[16][68], b[16][68];
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) sums.at[i][j] = A(0);
    for (u64 k0 = begin; k0 < end; k0 += 16) {
        for (int i = 0; i < 4; i++) {
            int at = threadIdx.x + i * 256;
            int k = left_along ? at % 16 : at / 64, m = left_along ? at / 16 : at % 64;
            a[k][m] = m0 + m < M && k0 + k < end ? left.at(m0 + m, k0 + k) : A(0);
            k = right_along ? at % 16 : at / 64;
            int n = right_along ? at / 16 : at % 64;
            b[k][n] = n0 + n < N && k0 + k < end ? right.at(k0 + k, n0 + n) : A(0);
        }
        __syncthreads();
        for (int k = 0; k < 16; k++) {
            A x[4], y[4];
            for (int i = 0; i < 4; i++) {
                x[i] = a[k][ty * 4 + i];
                y[i] = b[k][tx * 4 + i];
            }
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sums.at[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
}

// Calls `store(row, column, sum)` for each result of this thread that exists.
template <class Store>
DEVICE void for_each_result(u64 m0, u64 n0, u64 M, u64 N, const Sums& sums, const Store& store) {
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            u64 m = m0 + ty * 4 + i, n = n0 + tx * 4 + j;
            if (m < M && n < N) store.put(m, n, sums.at[i][j]);
        }
}

// Which tile and which matrix of several a block takes.
struct Tile { u64 m0, n0, rest; };

DEVICE Tile tile_of_block(u64 M, u64 N) {
    u64 across = (N + 63) / 64, down = (M + 63) / 64, block = blockIdx.x;
    Tile t;
    t.n0 = block % across * 64;
    t.m0 = block / across % down * 64;
    t.rest = block / (across * down);
    return t;
}
