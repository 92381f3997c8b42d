package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.encode.ScalarPursuit;
import io.sparrowkv.encode.ScalarTopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.assertj.core.api.ThrowingConsumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SaeTrainerTest {
    private static final Site SITE = Site.of(0, VectorKind.VALUE);

    /** A bias with which a latent fires for no vector. */
    private static final float SILENT = -1000;

    private final List<AutoCloseable> opened = new ArrayList<>();
    private final Arena arena = open(Arena.ofShared());
    private final EncoderBackend backend = open(Encoders.start("scalar", 1));

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable resource : opened.reversed()) {
            resource.close();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {5, 16, 24, 80})
    void gradientsAgreeWithFiniteDifferences(int dHead) {
        int rows = 7;
        PrefixLoss loss = new PrefixLoss(List.of(1, 3, 4), List.of(0.5f, 1f, 2f));
        SaeTrainer trainer = trainer(dHead, settings(12, loss, new Schedule(1, rows, 1e-3f, 0, 0)), 2);
        MemorySegment vectors = new PlantedVectors(dHead, 12, 3, 0.1, 3).draw(arena, rows, 4);
        randomise(trainer.dictionary(), 5);
        trainer.reload();

        float largest = 0;
        Dictionary d = trainer.dictionary();
        for (int latent = 0; latent < d.latents(); latent++) {
            trainer.gradients(vectors, rows);
            float[] decoder = gradient(trainer, trainer.atomGradients().decoder(), latent);
            float[] encoder = gradient(trainer, trainer.atomGradients().encoder(), latent);
            float bias = trainer.biasGradients().getAtIndex(JAVA_FLOAT, latent);
            for (int i = 0; i < dHead; i += 3) {
                long at = (long) latent * dHead + i;
                assertThat(decoder[i])
                        .as("W_dec[%d][%d]", latent, i)
                        .satisfies(near(difference(trainer, vectors, rows, d.decoderWeights(), at)));
                assertThat(encoder[i])
                        .as("W_enc[%d][%d]", latent, i)
                        .satisfies(near(difference(trainer, vectors, rows, d.encoderWeights(), at)));
                largest = Math.max(largest, Math.abs(encoder[i]));
            }
            assertThat(bias)
                    .as("b_enc[%d]", latent)
                    .satisfies(near(difference(trainer, vectors, rows, d.encoderBias(), latent)));
        }
        trainer.gradients(vectors, rows);
        MemorySegment centre = trainer.centreGradient(rows);
        for (int i = 0; i < dHead; i++) {
            assertThat(centre.getAtIndex(JAVA_FLOAT, i))
                    .as("b_dec[%d]", i)
                    .satisfies(near(difference(trainer, vectors, rows, d.decoderBias(), i)));
        }
        assertThat(largest).isGreaterThan(0.01f);
    }

    @ParameterizedTest
    @ValueSource(ints = {5, 16, 24})
    void pursuedAtomsFollowTheErrorAndTheEncoderWhatWasChosen(int dHead) {
        int rows = 7;
        TrainerSettings plain = settings(12, PrefixLoss.of(List.of(3)), new Schedule(1, rows, 1e-3f, 0, 0));
        SaeTrainer trainer = trainer(dHead, refined(plain, Refinement.pursuit(5)), 2);
        MemorySegment vectors = new PlantedVectors(dHead, 12, 3, 0.1, 3).draw(arena, rows, 4);
        randomise(trainer.dictionary(), 5);
        trainer.reload();
        Dictionary d = trainer.dictionary();
        float[][] taught = taughtEncoder(d, vectors, rows, 3, 5);

        float largest = 0;
        for (int latent = 0; latent < d.latents(); latent++) {
            trainer.gradients(vectors, rows);
            float[] decoder = gradient(trainer, trainer.atomGradients().decoder(), latent);
            float[] encoder = gradient(trainer, trainer.atomGradients().encoder(), latent);
            for (int i = 0; i < dHead; i += 3) {
                // Coefficients of least squares: what they change by takes no part in the gradient.
                assertThat(decoder[i])
                        .as("W_dec[%d][%d]", latent, i)
                        .satisfies(near(
                                difference(trainer, vectors, rows, d.decoderWeights(), (long) latent * dHead + i)));
                float expected = taught[latent][i];
                assertThat(encoder[i])
                        .as("W_enc[%d][%d]", latent, i)
                        .isCloseTo(expected, within(1e-4f * Math.max(1, Math.abs(expected))));
                largest = Math.max(largest, Math.abs(expected));
            }
        }
        assertThat(largest).isGreaterThan(0.01f);
    }

    /** ∂/∂W_enc of the mean square of z − |c| over the candidates, c what the pursuit gave them or 0. */
    private static float[][] taughtEncoder(Dictionary d, MemorySegment vectors, int rows, int budget, int candidates) {
        int dHead = d.dHead();
        float[][] gradients = new float[d.latents()][dHead];
        try (ScalarTopKEncoder encoder = new ScalarTopKEncoder(d);
                CodeBatch looked = CodeBatch.allocate(rows, candidates)) {
            encoder.encode(vectors, rows, candidates, looked);
            for (int row = 0; row < rows; row++) {
                List<Integer> atoms = new ArrayList<>();
                for (int k = 0; k < looked.count(row); k++) {
                    atoms.add(looked.index(row, k));
                }
                ScalarPursuit.Code code = new ScalarPursuit(d).code(vectors, row, atoms, budget);
                for (int k = 0; k < looked.count(row); k++) {
                    int at = code.atoms().indexOf(atoms.get(k));
                    double wanted = at < 0 ? 0 : Math.abs(code.coefficients()[at]);
                    double slope = 2 * (looked.coefficient(row, k) - wanted) / (rows * dHead);
                    for (int i = 0; i < dHead; i++) {
                        float x = vectors.getAtIndex(JAVA_FLOAT, (long) row * dHead + i);
                        gradients[atoms.get(k)][i] +=
                                (float) (slope * (x - d.decoderBias().getAtIndex(JAVA_FLOAT, i)));
                    }
                }
            }
        }
        return gradients;
    }

    @Test
    void trainingOnPursuedCodesLowersTheirError() {
        PlantedVectors planted = new PlantedVectors(24, 96, 4, 0.02, 1);
        Schedule schedule = new Schedule(600, 128, 5e-3f, 20, 0.5f);
        TrainerSettings plain = settings(96, PrefixLoss.of(List.of(4)), schedule);
        Refinement pursuit = Refinement.pursuit(12);
        double before = pursuedError(train(plain, planted), planted, pursuit);
        double after = pursuedError(train(refined(plain, pursuit), planted), planted, pursuit);
        assertThat(after).isLessThan(0.8 * before);
    }

    private SaeTrainer train(TrainerSettings settings, PlantedVectors planted) {
        SaeTrainer trainer = trainer(planted.dHead, settings, 1);
        trainer.initialise(planted.draw(arena, 2048, 2), 2048);
        return steps(trainer, planted, settings);
    }

    private static SaeTrainer steps(SaeTrainer trainer, PlantedVectors planted, TrainerSettings settings) {
        for (int step = 0; step < settings.schedule().steps(); step++) {
            try (Arena batchArena = Arena.ofShared()) {
                trainer.step(planted.draw(batchArena, 128, 100 + step), 128);
            }
        }
        return trainer;
    }

    private double pursuedError(SaeTrainer trainer, PlantedVectors planted, Refinement refinement) {
        Workers workers = open(Workers.start("test", 1));
        SiteReport report = SiteEvaluation.evaluate(
                trainer.dictionary(), planted.draw(arena, 1024, 9), 1024, 4, refinement, backend, workers);
        return report.fidelity().stream()
                .filter(at -> at.budget() == 4)
                .findFirst()
                .orElseThrow()
                .fvu();
    }

    @Test
    void latentsThatNoPursuitChoosesBecomeWhatCodesLeave() {
        PlantedVectors planted = new PlantedVectors(24, 96, 4, 0.02, 1);
        SaeTrainer replaced = trainedWithSilentHalf(planted, 1000);
        SaeTrainer left = trainedWithSilentHalf(planted, Long.MAX_VALUE);
        Refinement pursuit = Refinement.pursuit(12);
        assertThat(pursuedError(replaced, planted, pursuit)).isLessThan(0.7 * pursuedError(left, planted, pursuit));
        for (int latent = 0; latent < 96; latent += 2) {
            assertThat(replaced.dictionary().encoderBias().getAtIndex(JAVA_FLOAT, latent))
                    .as("b_enc[%d]", latent)
                    .isGreaterThan(SILENT);
            assertThat(left.dictionary().encoderBias().getAtIndex(JAVA_FLOAT, latent))
                    .isEqualTo(SILENT);
        }
    }

    /** Trains on pursued codes, every second latent's detector so low at the start that it is never a candidate. */
    private SaeTrainer trainedWithSilentHalf(PlantedVectors planted, long deadAfter) {
        TrainerSettings plain = settings(96, PrefixLoss.of(List.of(4)), new Schedule(300, 128, 5e-3f, 20, 0.5f));
        TrainerSettings settings = refined(plain, Refinement.pursuit(12), new AuxiliaryLoss(deadAfter, 8, 64, 1));
        SaeTrainer trainer = trainer(planted.dHead, settings, 1);
        trainer.initialise(planted.draw(arena, 2048, 2), 2048);
        for (int latent = 0; latent < 96; latent += 2) {
            trainer.dictionary().encoderBias().setAtIndex(JAVA_FLOAT, latent, SILENT);
        }
        trainer.reload();
        return steps(trainer, planted, settings);
    }

    private static TrainerSettings refined(TrainerSettings settings, Refinement refinement) {
        return refined(settings, refinement, settings.auxiliary());
    }

    private static TrainerSettings refined(TrainerSettings settings, Refinement refinement, AuxiliaryLoss auxiliary) {
        return new TrainerSettings(
                settings.latents(),
                settings.loss(),
                settings.schedule(),
                auxiliary,
                settings.initialisation(),
                refinement,
                settings.seed());
    }

    @Test
    void plantedAtomsAreFoundAndTheErrorFalls() {
        PlantedVectors planted = new PlantedVectors(24, 48, 3, 0.02, 1);
        PrefixLoss loss = new PrefixLoss(List.of(3, 6), List.of(1f, 1f));
        int batch = 256;
        SaeTrainer trainer = trainer(24, settings(96, loss, new Schedule(1500, batch, 5e-3f, 20, 0.5f)), 1);
        trainer.initialise(planted.draw(arena, 2048, 2), 2048);
        StepResult first = null;
        StepResult last = null;
        for (int step = 0; step < 1500; step++) {
            try (Arena batchArena = Arena.ofShared()) {
                last = trainer.step(planted.draw(batchArena, batch, 100 + step), batch);
            }
            first = first == null ? last : first;
        }
        assertThat(last.explainedVariance()).isGreaterThan(0.9).isGreaterThan(first.explainedVariance());
        assertThat(last.loss()).isLessThan(first.loss() / 3);
        int found = 0;
        for (float[] atom : planted.atoms) {
            double best = 0;
            for (int latent = 0; latent < 96; latent++) {
                double cosine = 0;
                for (int i = 0; i < 24; i++) {
                    cosine += atom[i] * trainer.dictionary().decoderWeights().getAtIndex(JAVA_FLOAT, latent * 24L + i);
                }
                best = Math.max(best, cosine);
            }
            found += best > 0.95 ? 1 : 0;
        }
        assertThat(found).as("of 48 planted atoms").isGreaterThanOrEqualTo(44);
    }

    @Test
    void theResultDoesNotDependOnTheNumberOfThreads() {
        assertThat(weightsAfterTraining(1)).isEqualTo(weightsAfterTraining(2)).isEqualTo(weightsAfterTraining(5));
    }

    @Test
    void atomsKeepUnitLength() {
        SaeTrainer trainer = trained(40, 3, AuxiliaryLoss.DEFAULT, Initialisation.RANDOM);

        for (int latent = 0; latent < 130; latent++) {
            MemorySegment atoms = trainer.dictionary().decoderWeights();
            float squared = Lanes.dot(atoms, latent * 40L, atoms, latent * 40L, 40);
            assertThat(squared).isCloseTo(1f, within(1e-5f));
        }
    }

    @Test
    void deadLatentsComeBackWithTheAuxiliaryLossAndStayDeadWithout() {
        AuxiliaryLoss on = new AuxiliaryLoss(1000, 8, 64, 1f / 32);
        assertThat(deadAfterTraining(on)).isLessThan(0.25);
        assertThat(deadAfterTraining(new AuxiliaryLoss(1000, 8, 64, 0))).isGreaterThan(0.3);
    }

    private double deadAfterTraining(AuxiliaryLoss auxiliary) {
        PlantedVectors planted = new PlantedVectors(40, 130, 3, 0.02, 1);
        TrainerSettings settings = new TrainerSettings(
                130,
                PrefixLoss.of(List.of(2, 4)),
                new Schedule(400, 64, 3e-3f, 10, 0.2f),
                auxiliary,
                Initialisation.DATA,
                Refinement.NONE,
                7);
        SaeTrainer trainer = trainer(40, settings, 2);
        trainer.initialise(planted.draw(arena, 512, 2), 512);
        for (int latent = 0; latent < 65; latent++) {
            // Of every second latent the detector is set so low that it never fires among the others.
            trainer.dictionary().encoderBias().setAtIndex(JAVA_FLOAT, 2L * latent, -1.5f);
        }
        trainer.reload();
        StepResult result = null;
        for (int step = 0; step < 400; step++) {
            try (Arena batchArena = Arena.ofShared()) {
                result = trainer.step(planted.draw(batchArena, 64, 100 + step), 64);
            }
        }
        return result.deadShare();
    }

    private float[] weightsAfterTraining(int threads) {
        return trained(40, threads, new AuxiliaryLoss(500, 8, 64, 1f / 32), Initialisation.RANDOM)
                .dictionary()
                .encoderWeights()
                .toArray(ValueLayout.JAVA_FLOAT);
    }

    private SaeTrainer trained(int dHead, int threads, AuxiliaryLoss auxiliary, Initialisation initialisation) {
        PlantedVectors planted = new PlantedVectors(dHead, 130, 3, 0.02, 1);
        TrainerSettings settings = new TrainerSettings(
                130,
                PrefixLoss.of(List.of(2, 4)),
                new Schedule(30, 100, 2e-3f, 5, 0.5f),
                auxiliary,
                initialisation,
                Refinement.NONE,
                7);
        SaeTrainer trainer = trainer(dHead, settings, threads);
        trainer.initialise(planted.draw(arena, 200, 2), 200);
        for (int step = 0; step < 30; step++) {
            trainer.step(planted.draw(arena, 100, 50 + step), 100);
        }
        return trainer;
    }

    private SaeTrainer trainer(int dHead, TrainerSettings settings, int threads) {
        Dictionary dictionary = open(Dictionary.allocate(SITE, RopeStage.PRE, dHead, settings.latents()));
        Workers workers = open(Workers.start("test", threads));
        return open(new SaeTrainer(dictionary, settings, backend, workers));
    }

    private static TrainerSettings settings(int latents, PrefixLoss loss, Schedule schedule) {
        return new TrainerSettings(
                latents, loss, schedule, AuxiliaryLoss.DEFAULT, Initialisation.DATA, Refinement.NONE, 11);
    }

    private static void randomise(Dictionary dictionary, long seed) {
        Random random = new Random(seed);
        for (MemorySegment weights : List.of(
                dictionary.encoderWeights(),
                dictionary.decoderWeights(),
                dictionary.encoderBias(),
                dictionary.decoderBias())) {
            for (long i = 0; i < weights.byteSize() / Float.BYTES; i++) {
                weights.setAtIndex(JAVA_FLOAT, i, (float) (0.3 * random.nextGaussian()));
            }
        }
    }

    /** One latent's row of a gradient; 0 where no pair moves it. */
    private static float[] gradient(SaeTrainer trainer, MemorySegment gradients, int latent) {
        float[] row = new float[trainer.dictionary().dHead()];
        if (trainer.moves(latent)) {
            long at = trainer.atomGradients().at(latent) * Float.BYTES;
            MemorySegment.copy(gradients, JAVA_FLOAT, at, row, 0, row.length);
        }
        return row;
    }

    /** Central difference of the loss in one weight. */
    private static float difference(
            SaeTrainer trainer, MemorySegment vectors, int rows, MemorySegment weights, long index) {
        float step = 1e-3f;
        float weight = weights.getAtIndex(JAVA_FLOAT, index);
        double[] losses = new double[2];
        for (int side = 0; side < 2; side++) {
            weights.setAtIndex(JAVA_FLOAT, index, side == 0 ? weight - step : weight + step);
            trainer.reload();
            trainer.gradients(vectors, rows);
            losses[side] = trainer.loss(rows);
        }
        weights.setAtIndex(JAVA_FLOAT, index, weight);
        trainer.reload();
        return (float) ((losses[1] - losses[0]) / (2 * step));
    }

    private static ThrowingConsumer<Float> near(float expected) {
        return actual -> assertThat(actual).isCloseTo(expected, within(2e-4f + 0.01f * Math.abs(expected)));
    }

    private <T extends AutoCloseable> T open(T resource) {
        opened.add(resource);
        return resource;
    }
}
