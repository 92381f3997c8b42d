package io.sparrowkv.encode;

import jdk.incubator.vector.FloatVector;

/**
 * The innermost product, of the encoder and of attention: a few rows of vectors by one panel of columns (latents, or queries), its sums
 * held in registers. How many rows and vectors of columns make the best tile depends on the number of vector registers.
 */
public interface ProductTile {
    /** Rows of the tile. */
    int rows();

    /** Vectors of columns of the tile; {@code columns} below is this times the lanes of a vector. */
    int vectors();

    /**
     * Computes z = b + W x for one tile. Each sum starts at the bias and adds the dimensions in their order with fused
     * multiply-adds, as the scalar oracle does, so that the two agree to the last bit.
     *
     * @param x vectors {@code [depth, rows]}, from {@code xAt}
     * @param panel {@code [1 + depth, columns]}, the bias b first and then W, from {@code panelAt}
     * @param depth what is summed over: dimensions of a vector
     * @param z written {@code [rows, columns]} from {@code zAt}
     */
    void multiply(float[] x, int xAt, float[] panel, int panelAt, int depth, float[] z, int zAt);

    /** The tile that suits this machine. */
    static ProductTile preferred() {
        boolean manyRegisters = FloatVector.SPECIES_PREFERRED.vectorBitSize() >= 512
                || System.getProperty("os.arch").equals("aarch64");
        return manyRegisters ? new Tile6x4() : new Tile4x2();
    }
}
