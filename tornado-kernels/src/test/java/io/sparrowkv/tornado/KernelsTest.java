package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.CodeCheck;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import uk.ac.manchester.tornado.api.types.collections.VectorFloat16;

/** The kernels as plain Java methods, without any device. */
class KernelsTest {
    private static final int SEQUENCE = 41;

    @ParameterizedTest
    @CsvSource({"24, 100, 9, 7", "1, 1, 1, 1", "80, 333, 200, 66"})
    void thoseForCpusSelectTheKLargest(int dHead, int latents, int budget, int rows) {
        check(dHead, latents, budget, rows, (buffers, bank) -> {
            CpuKernels.multiply(
                    buffers.batch(),
                    new VectorFloat16(bank.floats()),
                    buffers.vectors(),
                    buffers.preActivations(),
                    buffers.depth(),
                    buffers.panels(),
                    buffers.rows() / CpuKernels.TILE_ROWS);
            CpuKernels.selectLargest(
                    buffers.batch(),
                    buffers.preActivations(),
                    buffers.maxima(),
                    buffers.indices(),
                    buffers.coefficients(),
                    buffers.counts(),
                    buffers.latents(),
                    buffers.rows());
        });
    }

    @ParameterizedTest
    @CsvSource({"24, 100, 9, 7", "1, 1, 1, 1", "80, 700, 120, 66"})
    void thoseForGpusSelectTheKLargest(int dHead, int latents, int budget, int rows) {
        check(dHead, latents, budget, rows, (buffers, bank) -> {
            WorkGroup.launch(
                    buffers.panels(),
                    buffers.rows() / GpuKernels.TILE_ROWS,
                    GpuKernels.SIDE,
                    GpuKernels.SIDE,
                    context -> GpuKernels.multiply(
                            context,
                            buffers.batch(),
                            bank.floats(),
                            buffers.vectors(),
                            buffers.preActivations().getArray(),
                            buffers.depth(),
                            buffers.panels()));
            WorkGroup.launch(
                    rows,
                    1,
                    GpuKernels.SELECTORS,
                    1,
                    context -> GpuKernels.selectLargest(
                            context,
                            buffers.batch(),
                            buffers.preActivations().getArray(),
                            buffers.indices(),
                            buffers.coefficients(),
                            buffers.counts(),
                            buffers.latents(),
                            buffers.rows()));
        });
    }

    /** Makes every other latent its neighbour's twin: ties all over. */
    static void tie(Dictionary dictionary) {
        MemorySegment weights = dictionary.encoderWeights();
        MemorySegment bias = dictionary.encoderBias();
        long width = (long) dictionary.dHead() * Float.BYTES;
        for (int latent = 1; latent < dictionary.latents(); latent += 2) {
            MemorySegment.copy(weights, (latent - 1) * width, weights, latent * width, width);
            bias.setAtIndex(JAVA_FLOAT, latent, bias.getAtIndex(JAVA_FLOAT, latent - 1));
        }
    }

    private interface Launch {
        void run(PlanBuffers buffers, DictionaryBank bank) throws Exception;
    }

    /** Runs the kernels with the dictionary in the second slot of two, and holds the codes against the definition. */
    private static void check(int dHead, int latents, int budget, int rows, Launch launch) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary =
                        RandomDictionaries.dictionary(Site.of(0, VectorKind.VALUE), RopeStage.PRE, dHead, latents, 3);
                CodeBatch codes = CodeBatch.allocate(rows, budget)) {
            tie(dictionary);
            DictionaryBank bank = new DictionaryBank(dHead, latents, 2, false);
            bank.pack(1, dictionary);
            PlanBuffers buffers = PlanBuffers.allocate(128, budget, bank.depth(), bank.depth(), bank.panels());
            buffers.batch().set(BatchField.ROWS, rows);
            buffers.batch().set(BatchField.BUDGET, budget);
            buffers.batch().set(BatchField.SLOT, 1);
            buffers.batch().set(BatchField.PLACE, 1);
            buffers.batch().set(BatchField.SEQUENCE, SEQUENCE);
            // Weights that were widened for another batch are no secret.
            buffers.batch().set(BatchField.WIDENED, SEQUENCE - 1);
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, dHead, 4);
            for (int row = 0; row < rows; row++) {
                for (int i = 0; i < dHead; i++) {
                    float centred = vectors.getAtIndex(JAVA_FLOAT, (long) row * dHead + i)
                            - dictionary.decoderBias().getAtIndex(JAVA_FLOAT, i);
                    buffers.vectors().set(row * bank.depth() + i, centred);
                }
            }
            launch.run(buffers, bank);
            assertThat(buffers.counts().get(buffers.rows())).isEqualTo(SEQUENCE - 1);
            buffers.batch().set(BatchField.WIDENED, SEQUENCE);
            launch.run(buffers, bank);
            assertThat(buffers.counts().get(buffers.rows())).isEqualTo(SEQUENCE);
            codes.shape(rows, budget);
            MemorySegment.copy(buffers.indices().getSegment(), 0, codes.indices(), 0, 4L * rows * budget);
            MemorySegment.copy(buffers.coefficients().getSegment(), 0, codes.coefficients(), 0, 4L * rows * budget);
            MemorySegment.copy(buffers.counts().getSegment(), 0, codes.counts(), 0, 4L * rows);
            CodeCheck definition = new CodeCheck(dictionary);
            for (int row = 0; row < rows; row++) {
                assertThat(definition.disagreement(vectors, codes, row)).isEmpty();
            }
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }
}
