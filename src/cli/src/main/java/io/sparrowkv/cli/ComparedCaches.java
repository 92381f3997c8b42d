package io.sparrowkv.cli;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.codec.TransformCodec;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.SparseKvCache;
import io.sparrowkv.sae.Site;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** The caches of codecs that are compared, with dictionaries and encoder where one of them is sparse. */
final class ComparedCaches implements AutoCloseable {
    private final CausalLm lm;
    private final Optional<SparseCaches> sparse;
    private final Map<Double, Map<Site, TransformCodec>> transforms;
    private final List<CacheUnderTest> caches;

    private ComparedCaches(
            CausalLm lm, Optional<SparseCaches> sparse, TransformText transformText, List<CodecSpec> specs) {
        this.lm = lm;
        this.sparse = sparse;
        Set<Double> transformBytes = specs.stream()
                .filter(CodecSpec.Transformed.class::isInstance)
                .map(spec -> ((CodecSpec.Transformed) spec).bytes())
                .collect(Collectors.toSet());
        transforms = transformBytes.isEmpty() ? Map.of() : transformText.codecs(lm, transformBytes);
        caches = specs.stream().map(this::cache).toList();
    }

    /** @throws io.sparrowkv.io.InvalidInputException when a codec does not fit the model, or its dictionaries cannot be read */
    static ComparedCaches open(
            List<CodecSpec> specs, CausalLm lm, DictionaryArguments dictionaries, TransformText transformText) {
        Optional<SparseCaches> sparse = specs.stream().anyMatch(CodecSpec::isSparse)
                ? Optional.of(SparseCaches.open(lm, dictionaries))
                : Optional.empty();
        try {
            return new ComparedCaches(lm, sparse, transformText, specs);
        } catch (RuntimeException e) {
            sparse.ifPresent(SparseCaches::close);
            throw e;
        }
    }

    /** In the order of the codecs. */
    List<CacheUnderTest> caches() {
        return caches;
    }

    private CacheUnderTest cache(CodecSpec spec) {
        AttentionShape shape = lm.config().attentionShape();
        CacheOptions options = spec.options();
        return switch (spec) {
            case CodecSpec.Sparse codec -> sparse(codec);
            case CodecSpec.Calibrated codec -> {
                codec.profile().requireFit(lm, sparse.orElseThrow().dictionaries());
                yield sparse(codec);
            }
            case CodecSpec.Transformed codec -> {
                Map<Site, TransformCodec> codecs = transforms.get(codec.bytes());
                yield new CacheUnderTest(
                        spec.name(),
                        () -> new SparseKvCache(SparseCache.transformed(shape, lm.rotary(), codecs, options)));
            }
            case CodecSpec.Quantized codec -> {
                Map<Site, VectorCodec> codecs = codec.quantizers().codecs(lm);
                yield new CacheUnderTest(spec.name(), () -> SparseKvCache.quantized(lm, codecs, options));
            }
        };
    }

    private CacheUnderTest sparse(CodecSpec spec) {
        SparseCaches shared = sparse.orElseThrow();
        spec.options().validate(lm.config().attentionShape(), shared.dictionaries());
        return new CacheUnderTest(spec.name(), () -> shared.newCache(spec.options()));
    }

    @Override
    public void close() {
        sparse.ifPresent(SparseCaches::close);
    }
}
