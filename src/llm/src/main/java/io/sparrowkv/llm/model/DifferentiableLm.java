package io.sparrowkv.llm.model;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtEngine;
import ai.djl.training.GradientCollector;
import io.sparrowkv.attention.RotaryEmbedding;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.DifferentiableLayer.Rotation;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * A {@link CausalLm} through which gradients flow back: what a change of the keys and values that far reads see would change in its
 * predictions. It shares the model's weights and computes the same to fp32 rounding, over one whole context at a time and without a
 * cache.
 *
 * <p>A pass keeps what its gradients need: with 6 layers of width 256 and 4 heads, a process grew by 0.6 GB with contexts of 1,024
 * tokens and by 1.4 GB with 2,048. libtorch's binding collects gradients for one thread of the process at a time.
 */
public final class DifferentiableLm {
    /** Queries that attend together: rows enough for libtorch's products, few enough to skip most of what causality hides. */
    private static final int TILE_ROWS = 256;

    private final CausalLm lm;
    private final FarReads reads;
    private final int tileRows;

    /** @param lm stays the caller's to close */
    public DifferentiableLm(CausalLm lm, FarReads reads) {
        this(lm, reads, TILE_ROWS);
    }

    DifferentiableLm(CausalLm lm, FarReads reads, int tileRows) {
        this.lm = lm;
        this.reads = reads;
        this.tileRows = tileRows;
    }

    public FarReads reads() {
        return reads;
    }

    /**
     * Passes a context through the model and a loss back.
     *
     * @param tokens ids of the context, from 1 to the model's longest
     * @param deviations what far reads see more; the gradients are taken by these, as if they did not depend on the vectors they are
     *     of
     * @return to be closed by the caller
     * @throws InvalidInputException when a token is not of the vocabulary, or the context is longer than the model's limit
     * @throws IllegalStateException when another thread is in a pass
     */
    public GradientPass pass(int[] tokens, Deviations deviations, PassLoss loss) {
        if (tokens.length > lm.config().maxPositions()) {
            throw new InvalidInputException("a context of %d tokens is longer than the model's limit of %d"
                    .formatted(tokens.length, lm.config().maxPositions()));
        }
        NDManager manager = Libtorch.newManager();
        try (NDManager scope = manager.newSubManager();
                GradientCollector collector =
                        Engine.getEngine(PtEngine.ENGINE_NAME).newGradientCollector()) {
            List<DifferentiableLayer> layers = layers(scope, tokens.length, deviations);
            List<EnumMap<VectorKind, NDArray>> leaves = new ArrayList<>();
            NDArray hidden = lm.embed(scope, tokens);
            for (DifferentiableLayer layer : layers) {
                EnumMap<VectorKind, NDArray> byKind = new EnumMap<>(VectorKind.class);
                hidden = layer.forward(hidden, manager, byKind);
                leaves.add(byKind);
            }
            NDArray logits = lm.head().apply(lm.finalNorm().differentiable(hidden));
            NDArray kept = logits.stopGradient();
            int[] labels = loss instanceof PassLoss.SampledLabels sampled ? sample(kept, sampled.seed()) : new int[0];
            NDArray nats = nats(logits, loss, labels);
            // Where nothing is read far the loss depends on no deviation, and libtorch would refuse.
            if (layers.stream().anyMatch(layer -> layer.attention().readsFar())) {
                collector.backward(nats);
            }
            kept.attach(manager);
            return new GradientPass(manager, nats.getFloat(), kept, labels, gradients(leaves));
        } catch (RuntimeException e) {
            manager.close();
            throw e;
        }
    }

    private List<DifferentiableLayer> layers(NDManager scope, int tokens, Deviations deviations) {
        ModelConfig config = lm.config();
        Rotation rotation = rotation(scope, tokens);
        Map<Integer, FarAttention> attentions = new HashMap<>();
        List<DifferentiableLayer> layers = new ArrayList<>();
        for (int index = 0; index < config.layers(); index++) {
            FarAttention attention = attentions.computeIfAbsent(
                    config.slidingWindows().get(index),
                    window -> new FarAttention(
                            config.attentionShape(), ReadTile.ofContext(scope, tokens, window, reads, tileRows)));
            layers.add(new DifferentiableLayer(
                    index, config, lm.layerWeights(index), rotation, attention, reads.keys(), deviations));
        }
        return layers;
    }

    private Rotation rotation(NDManager scope, int tokens) {
        RotaryEmbedding.Tables tables = lm.rotary().tables(tokens);
        Shape shape = new Shape(tokens, 1, lm.config().dHead() / 2);
        return new Rotation(table(scope, tables.cos(), shape), table(scope, tables.sin(), shape));
    }

    private static NDArray table(NDManager scope, MemorySegment table, Shape shape) {
        MemorySegment rows = table.asSlice(0, shape.size() * Float.BYTES);
        return scope.create(rows.asByteBuffer().order(ByteOrder.nativeOrder()), shape, DataType.FLOAT32);
    }

    private static NDArray nats(NDArray logits, PassLoss loss, int[] labels) {
        NDManager scope = logits.getManager();
        NDArray predicted = logits.logSoftmax(-1);
        return switch (loss) {
            case PassLoss.SampledLabels sampled -> {
                NDArray index =
                        scope.create(labels).toType(DataType.INT64, false).expandDims(1);
                yield predicted.gather(index, 1).sum().neg();
            }
            case PassLoss.Divergence divergence -> {
                if (!divergence.teacher().getShape().equals(logits.getShape())) {
                    throw new IllegalArgumentException("the teacher's logits are %s, the pass's %s"
                            .formatted(divergence.teacher().getShape(), logits.getShape()));
                }
                NDArray teacher = divergence.teacher().logSoftmax(-1);
                teacher.attach(scope); // it began as the caller's manager's
                yield teacher.exp()
                        .mul(teacher.sub(predicted))
                        .sum()
                        .div(logits.getShape().get(0));
            }
        };
    }

    /** A token of each row's distribution, drawn by inversion. */
    private static int[] sample(NDArray logits, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        MemorySegment probabilities = Libtorch.memory(logits.softmax(-1));
        int[] labels = new int[(int) logits.getShape().get(0)];
        long vocabulary = logits.getShape().get(1);
        for (int row = 0; row < labels.length; row++) {
            double left = random.nextDouble();
            for (long i = 0; i < vocabulary && left >= 0; i++) {
                float p = probabilities.getAtIndex(ValueLayout.JAVA_FLOAT, row * vocabulary + i);
                left -= p;
                // Rounding can leave something after the last token: it goes to the last that has a probability.
                if (p > 0) {
                    labels[row] = (int) i;
                }
            }
        }
        return labels;
    }

    /** The leaves' gradients, in the leaves' manager; the leaves are closed. */
    private static List<EnumMap<VectorKind, NDArray>> gradients(List<EnumMap<VectorKind, NDArray>> leaves) {
        for (EnumMap<VectorKind, NDArray> byKind : leaves) {
            byKind.replaceAll((kind, leaf) -> {
                NDArray gradient = leaf.getGradient();
                leaf.close();
                return gradient;
            });
        }
        return leaves;
    }
}
