package io.sparrowkv.tornado;

import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.CodeCheck;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.common.Access;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/** All of the way through cuBLAS but cuBLAS itself, which no machine without an NVIDIA GPU has. */
class CublasKernelsTest {
    /** The product as plain loops, over the same arrays. */
    static void multiply(
            FloatArray columns, FloatArray vectors, FloatArray preActivations, int latents, int rows, int depth) {
        for (@Parallel int row = 0; row < rows; row++) {
            for (@Parallel int latent = 0; latent < latents; latent++) {
                float sum = 0f;
                for (int i = 0; i < depth; i++) {
                    sum = sum + vectors.get(row * depth + i) * columns.get(i * latents + latent);
                }
                preActivations.set(row * latents + latent, sum);
            }
        }
    }

    /** What the library is asked for is the product: its arguments, read as cuBLAS reads them. */
    @Test
    void theLibraryIsAskedForTheProduct() {
        int latents = 64;
        int rows = 5;
        int depth = 16;
        FloatArray columns = random(depth * latents, 1);
        FloatArray vectors = random(rows * depth, 2);
        FloatArray found = new FloatArray(rows * latents);
        FloatArray expected = new FloatArray(rows * latents);
        multiply(columns, vectors, expected, latents, rows, depth);
        LibraryTaskDescriptor task = CublasKernels.multiply(columns, vectors, found, latents, rows, depth);
        assertThat(task.getLibraryName()).isEqualTo("nvidia/cublas");
        assertThat(task.getFunctionName()).isEqualTo("cublasSgemm");
        columnMajor(task.getParameters());
        for (int i = 0; i < rows * latents; i++) {
            assertThat(found.get(i)).isEqualTo(expected.get(i));
        }
        assertThat(task.getAccess()).hasSameSizeAs(task.getParameters());
        for (int i = 0; i < task.getAccess().length; i++) {
            assertThat(task.getAccess()[i])
                    .isEqualTo(task.getParameters()[i] == found ? Access.WRITE_ONLY : Access.READ_ONLY);
        }
    }

    /** The same graph on the devices that are here, with the plain product in the library's place. */
    @ParameterizedTest
    @CsvSource({"24, 600, 12, 70, false", "80, 333, 64, 130, true"})
    void aroundTheProductCodesAreRight(int dHead, int latents, int budget, int rows, boolean half) {
        Devices.require();
        KernelFamily family = new KernelFamily(
                "kernels around a product",
                true,
                panels -> new GpuKernelPair(
                        new CublasProduct((graph, columns, vectors, preActivations, width, count, depth) -> graph.task(
                                "multiply",
                                CublasKernelsTest::multiply,
                                columns,
                                vectors,
                                preActivations,
                                width,
                                count,
                                depth))));
        Site site = Site.of(0, VectorKind.KEY);
        try (Arena arena = Arena.ofShared();
                TornadoBackend backend = TornadoEncoderProvider.tested(Devices.start(family));
                Dictionary first = RandomDictionaries.dictionary(site, RopeStage.PRE, dHead, latents, 1);
                Dictionary second = RandomDictionaries.dictionary(site, RopeStage.PRE, dHead, latents, 2);
                TopKEncoder other = backend.open(half ? HalfFloatsTest.round(first) : first);
                TopKEncoder encoder = backend.open(half ? HalfFloatsTest.round(second) : second);
                CodeBatch codes = CodeBatch.allocate(rows, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, dHead, 3);
            for (TopKEncoder each : new TopKEncoder[] {other, encoder, other}) {
                each.encode(vectors, rows, budget, codes);
                CodeCheck check = new CodeCheck(each.dictionary());
                for (int row = 0; row < rows; row += row < 70 ? 1 : 37) {
                    assertThat(check.disagreement(vectors, codes, row)).isEmpty();
                }
            }
        }
    }

    /** C = alpha A B + beta C, all column-major: what the arguments mean to cuBLAS. */
    private static void columnMajor(Object[] a) {
        assertThat(a).hasSize(13);
        assertThat(a[0]).isEqualTo(0); // CUBLAS_OP_N
        assertThat(a[1]).isEqualTo(0);
        int m = (int) a[2];
        int n = (int) a[3];
        int k = (int) a[4];
        FloatArray left = (FloatArray) a[6];
        FloatArray right = (FloatArray) a[8];
        FloatArray result = (FloatArray) a[11];
        for (int column = 0; column < n; column++) {
            for (int row = 0; row < m; row++) {
                float sum = 0;
                for (int i = 0; i < k; i++) {
                    sum += left.get(i * (int) a[7] + row) * right.get(column * (int) a[9] + i);
                }
                int at = column * (int) a[12] + row;
                result.set(at, (float) a[5] * sum + (float) a[10] * result.get(at));
            }
        }
    }

    private static FloatArray random(int size, long seed) {
        try (Arena arena = Arena.ofConfined()) {
            return FloatArray.fromSegment(RandomDictionaries.vectors(arena, size, 1, seed));
        }
    }
}
