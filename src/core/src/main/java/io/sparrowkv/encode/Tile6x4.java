package io.sparrowkv.encode;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The tile for 32 vector registers (AVX-512, NEON): 24 sums, four weights and one broadcast stay in registers, so that each of the
 * 24 multiply-adds of a step waits for nothing but its own sum. 8 x 3 and 12 x 2 measured no faster ({@code EncodeBenchmark.product}).
 */
final class Tile6x4 implements ProductTile {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();

    private static final int ROWS = 6;
    private static final int VECTORS = 4;
    private static final int COLUMNS = VECTORS * LANES;

    @Override
    public int rows() {
        return ROWS;
    }

    @Override
    public int vectors() {
        return VECTORS;
    }

    @Override
    public void multiply(float[] x, int xAt, float[] panel, int panelAt, int depth, float[] z, int zAt) {
        FloatVector z00 = FloatVector.fromArray(SPECIES, panel, panelAt);
        FloatVector z01 = FloatVector.fromArray(SPECIES, panel, panelAt + 1 * LANES);
        FloatVector z02 = FloatVector.fromArray(SPECIES, panel, panelAt + 2 * LANES);
        FloatVector z03 = FloatVector.fromArray(SPECIES, panel, panelAt + 3 * LANES);
        FloatVector z10 = z00;
        FloatVector z11 = z01;
        FloatVector z12 = z02;
        FloatVector z13 = z03;
        FloatVector z20 = z00;
        FloatVector z21 = z01;
        FloatVector z22 = z02;
        FloatVector z23 = z03;
        FloatVector z30 = z00;
        FloatVector z31 = z01;
        FloatVector z32 = z02;
        FloatVector z33 = z03;
        FloatVector z40 = z00;
        FloatVector z41 = z01;
        FloatVector z42 = z02;
        FloatVector z43 = z03;
        FloatVector z50 = z00;
        FloatVector z51 = z01;
        FloatVector z52 = z02;
        FloatVector z53 = z03;
        int w = panelAt + COLUMNS;
        int in = xAt;
        for (int i = 0; i < depth; i++) {
            FloatVector w0 = FloatVector.fromArray(SPECIES, panel, w);
            FloatVector w1 = FloatVector.fromArray(SPECIES, panel, w + 1 * LANES);
            FloatVector w2 = FloatVector.fromArray(SPECIES, panel, w + 2 * LANES);
            FloatVector w3 = FloatVector.fromArray(SPECIES, panel, w + 3 * LANES);
            FloatVector x0 = FloatVector.broadcast(SPECIES, x[in]);
            z00 = w0.fma(x0, z00);
            z01 = w1.fma(x0, z01);
            z02 = w2.fma(x0, z02);
            z03 = w3.fma(x0, z03);
            FloatVector x1 = FloatVector.broadcast(SPECIES, x[in + 1]);
            z10 = w0.fma(x1, z10);
            z11 = w1.fma(x1, z11);
            z12 = w2.fma(x1, z12);
            z13 = w3.fma(x1, z13);
            FloatVector x2 = FloatVector.broadcast(SPECIES, x[in + 2]);
            z20 = w0.fma(x2, z20);
            z21 = w1.fma(x2, z21);
            z22 = w2.fma(x2, z22);
            z23 = w3.fma(x2, z23);
            FloatVector x3 = FloatVector.broadcast(SPECIES, x[in + 3]);
            z30 = w0.fma(x3, z30);
            z31 = w1.fma(x3, z31);
            z32 = w2.fma(x3, z32);
            z33 = w3.fma(x3, z33);
            FloatVector x4 = FloatVector.broadcast(SPECIES, x[in + 4]);
            z40 = w0.fma(x4, z40);
            z41 = w1.fma(x4, z41);
            z42 = w2.fma(x4, z42);
            z43 = w3.fma(x4, z43);
            FloatVector x5 = FloatVector.broadcast(SPECIES, x[in + 5]);
            z50 = w0.fma(x5, z50);
            z51 = w1.fma(x5, z51);
            z52 = w2.fma(x5, z52);
            z53 = w3.fma(x5, z53);
            w += COLUMNS;
            in += ROWS;
        }
        z00.intoArray(z, zAt);
        z01.intoArray(z, zAt + LANES);
        z02.intoArray(z, zAt + 2 * LANES);
        z03.intoArray(z, zAt + 3 * LANES);
        z10.intoArray(z, zAt + 4 * LANES);
        z11.intoArray(z, zAt + 5 * LANES);
        z12.intoArray(z, zAt + 6 * LANES);
        z13.intoArray(z, zAt + 7 * LANES);
        z20.intoArray(z, zAt + 8 * LANES);
        z21.intoArray(z, zAt + 9 * LANES);
        z22.intoArray(z, zAt + 10 * LANES);
        z23.intoArray(z, zAt + 11 * LANES);
        z30.intoArray(z, zAt + 12 * LANES);
        z31.intoArray(z, zAt + 13 * LANES);
        z32.intoArray(z, zAt + 14 * LANES);
        z33.intoArray(z, zAt + 15 * LANES);
        z40.intoArray(z, zAt + 16 * LANES);
        z41.intoArray(z, zAt + 17 * LANES);
        z42.intoArray(z, zAt + 18 * LANES);
        z43.intoArray(z, zAt + 19 * LANES);
        z50.intoArray(z, zAt + 20 * LANES);
        z51.intoArray(z, zAt + 21 * LANES);
        z52.intoArray(z, zAt + 22 * LANES);
        z53.intoArray(z, zAt + 23 * LANES);
    }
}
