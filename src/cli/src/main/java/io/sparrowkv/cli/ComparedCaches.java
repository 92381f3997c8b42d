package io.sparrowkv.cli;

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

/** The caches of codecs that are compared, with dictionaries and encoder where one of them is sparse. */
final class ComparedCaches implements AutoCloseable {
    private final CausalLm lm;
    private final Optional<SparseCaches> sparse;
    private final TransformText transformText;
    private final List<CacheUnderTest> caches;

    private ComparedCaches(
            CausalLm lm, Optional<SparseCaches> sparse, TransformText transformText, List<CodecSpec> specs) {
        this.lm = lm;
        this.transformText = transformText;
        this.sparse = sparse;
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
        if (spec.isSparse()) {
            SparseCaches shared = sparse.orElseThrow();
            spec.profile().ifPresent(profile -> profile.requireFit(lm, shared.dictionaries()));
            spec.options().validate(lm.config().attentionShape(), shared.dictionaries());
            return new CacheUnderTest(spec.name(), () -> shared.newCache(spec.options()));
        }
        if (spec.transformBytes().isPresent()) {
            Map<Site, TransformCodec> codecs =
                    transformText.codecs(lm, spec.transformBytes().get());
            return new CacheUnderTest(
                    spec.name(),
                    () -> new SparseKvCache(SparseCache.transformed(
                            lm.config().attentionShape(), lm.rotary(), codecs, spec.options())));
        }
        List<VectorCodec> codecs = spec.quantizer()
                .orElseThrow()
                .codecs(lm.config().layers(), lm.config().dHead());
        return new CacheUnderTest(
                spec.name(),
                () -> new SparseKvCache(
                        SparseCache.quantized(lm.config().attentionShape(), lm.rotary(), codecs, spec.options())));
    }

    @Override
    public void close() {
        sparse.ifPresent(SparseCaches::close);
    }
}
