package io.sparrowkv.tornado;

import java.util.Arrays;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.common.Access;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/**
 * The product by NVIDIA's cuBLAS, as a library task of TornadoVM's CUDA backend, and the kernel that brings the weights into the order it
 * needs. The task is described by its name and arguments alone, so that this compiles without TornadoVM's module for cuBLAS.
 *
 * <p>A library task takes whole arrays from their beginning, so the batch's dictionary is copied out of the bank first, which costs one
 * pass over its weights where the product passes over them once for each tile of rows. The bias is one dimension more, of weight b_enc,
 * and every vector holds 1 there.
 */
final class CublasKernels {
    /** TornadoVM's module that has the library. */
    static final String MODULE = "tornado.cublas";

    /** Dimensions that the bias takes: one, filled up to keep rows aligned. */
    static final int BIAS_DIMENSIONS = DictionaryBank.DEPTH_STEP;

    private static final String LIBRARY = "nvidia/cublas";
    private static final String SGEMM = "cublasSgemm";

    /** cublasOperation_t: not transposed. */
    private static final int OPERATION_N = 0;

    private static final int PANEL = DictionaryBank.PANEL;

    private CublasKernels() {}

    /**
     * Lays the batch's dictionary out dimension by dimension, {@code [depth + BIAS_DIMENSIONS, latents]}, the biases after the weights.
     *
     * <p>Device class: GPU. Launch: the two parallel loops, one work item a number.
     *
     * @param batch {@link BatchField}s; receives the number of the batch it ran for
     * @param weights {@code [slots, panels, 1 + depth, PANEL]}
     * @param columns all of it is written: what no kernel reads before it is written to may never be copied to the device
     */
    static void arrange(IntArray batch, FloatArray weights, FloatArray columns, int depth, int panels) {
        for (@Parallel int line = 0; line < depth + BIAS_DIMENSIONS; line++) {
            for (@Parallel int latent = 0; latent < panels * PANEL; latent++) {
                // A panel begins with its biases, which go behind the weights.
                int source = line < depth ? line + 1 : 0;
                int panel = batch.get(BatchField.PLACE) * panels + latent / PANEL;
                float weight = weights.get((panel * (depth + 1) + source) * PANEL + latent % PANEL);
                int at = line * panels * PANEL + latent;
                float column = line > depth ? 0f : weight;
                columns.set(at, WrittenThenRead.value(columns, at, column, batch.get(BatchField.SEQUENCE)));
            }
        }
        batch.set(BatchField.MULTIPLIED, batch.get(BatchField.WIDENED));
    }

    /**
     * Pre-activations {@code [rows, latents]} = vectors {@code [rows, depth]} · columns {@code [depth, latents]}, in fp32: TF32 would be
     * faster, and wrong by more than codes may be. cuBLAS's matrices are column-major, so it is asked for the transposed product of the
     * transposed matrices, which are these very arrays.
     *
     * <p>Device class: NVIDIA GPU. Launch: cuBLAS's own. One that it refuses is an exception, unlike a kernel's.
     *
     * @param depth dimensions of a row, those of the bias included
     */
    static LibraryTaskDescriptor multiply(
            FloatArray columns, FloatArray vectors, FloatArray preActivations, int latents, int rows, int depth) {
        Object[] arguments = {
            OPERATION_N,
            OPERATION_N,
            latents,
            rows,
            depth,
            1f,
            columns,
            latents,
            vectors,
            depth,
            0f,
            preActivations,
            latents
        };
        Access[] access = new Access[arguments.length];
        Arrays.fill(access, Access.READ_ONLY);
        access[11] = Access.WRITE_ONLY;
        return new LibraryTaskDescriptor()
                .withLibrary(LIBRARY)
                .withFunction(SGEMM)
                .withParameters(arguments)
                .withAccess(access);
    }
}
