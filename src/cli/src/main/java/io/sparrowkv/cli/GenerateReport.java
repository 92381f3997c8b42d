package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.llm.generate.Generation;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;

/**
 * What a generation was and what it cost.
 *
 * @param end why it ended
 * @param start what came before the prompt
 * @param secondsToFirstToken from the prompt's token ids to the first token: looking them up in a store, reading the rest
 * @param secondsFromModelToFirstToken the same from the loaded model on: with dictionaries, encoder and store, which a process that
 *     answers more than one prompt has ready
 * @param cacheTokens tokens that the cache holds
 * @param cacheBytes bytes of the cache's contents; of a dense cache fp32, as libtorch computes on the CPU
 * @param denseFp16Bytes what the same tokens take in a dense fp16 cache
 * @param parts of a cache that is not dense
 * @param store what a store on disk has saved
 */
record GenerateReport(
        String command,
        String model,
        String codec,
        Optional<String> encoder,
        String text,
        String end,
        int promptTokens,
        int generatedTokens,
        StartTimes start,
        double secondsToFirstToken,
        double secondsFromModelToFirstToken,
        double prefillTokensPerSecond,
        double decodeTokensPerSecond,
        int cacheTokens,
        long cacheBytes,
        long denseFp16Bytes,
        Optional<CacheBytes> parts,
        Optional<StoreReport> store)
        implements Report {
    static GenerateReport dense(CausalLm lm, StartTimes start, Generation generation, int cacheTokens) {
        long denseFp16 = cacheTokens * lm.config().attentionShape().denseFp16BytesPerToken();
        return of(
                lm,
                start,
                generation,
                "dense",
                Optional.empty(),
                cacheTokens,
                generation.cacheBytes(),
                denseFp16,
                Optional.empty(),
                Optional.empty());
    }

    static GenerateReport sparse(
            CausalLm lm,
            StartTimes start,
            Generation generation,
            CacheBytes bytes,
            EncoderBackend encoder,
            Optional<StoreReport> store) {
        String used = encoder.name() + " (" + encoder.description() + ")";
        return of(
                lm,
                start,
                generation,
                "sparse",
                Optional.of(used),
                bytes.tokens(),
                bytes.total(),
                bytes.denseFp16(),
                Optional.of(bytes),
                store);
    }

    static GenerateReport quantized(
            CausalLm lm, StartTimes start, Generation generation, CacheBytes bytes, String codec) {
        return of(
                lm,
                start,
                generation,
                codec,
                Optional.empty(),
                bytes.tokens(),
                bytes.total(),
                bytes.denseFp16(),
                Optional.of(bytes),
                Optional.empty());
    }

    private static GenerateReport of(
            CausalLm lm,
            StartTimes start,
            Generation generation,
            String codec,
            Optional<String> encoder,
            int cacheTokens,
            long cacheBytes,
            long denseFp16Bytes,
            Optional<CacheBytes> parts,
            Optional<StoreReport> store) {
        return new GenerateReport(
                "generate",
                lm.folder().toString(),
                codec,
                encoder,
                generation.text(),
                generation.end().name().toLowerCase(Locale.ROOT),
                generation.promptTokens(),
                generation.tokens().length,
                start,
                generation.secondsToFirstToken(),
                start.afterModel() + generation.secondsToFirstToken(),
                generation.prefillTokensPerSecond(),
                generation.decodeTokensPerSecond(),
                cacheTokens,
                cacheBytes,
                denseFp16Bytes,
                parts,
                store);
    }

    @Override
    public void print(PrintWriter out) {
        out.printf(
                "%s: prompt %s tokens, first token after %s (%s), then %d at %s, ended by %s%n",
                codec,
                Quantities.count(promptTokens),
                time(secondsToFirstToken),
                Quantities.rate(prefillTokensPerSecond, "tokens"),
                generatedTokens - 1,
                Quantities.rate(decodeTokensPerSecond, "tokens"),
                end.replace('_', ' '));
        out.printf(
                "before that: model %s, dictionaries and encoder %s, store and cache %s%n",
                time(start.model()), time(start.dictionaries()), time(start.cache()));
        store.ifPresent(reuse -> reuse.print(out));
        encoder.ifPresent(used -> out.println("encoder: " + used));
        out.printf("cache of %s tokens:%n", Quantities.count(cacheTokens));
        parts.ifPresentOrElse(
                bytes -> CacheBytesTable.print(bytes, out),
                () -> out.printf(
                        "  %s as computed (fp32); in fp16 %s%n",
                        Quantities.bytes(cacheBytes), Quantities.bytes(denseFp16Bytes)));
    }

    private static String time(double seconds) {
        return Quantities.time(Duration.ofNanos((long) (1e9 * seconds)));
    }
}
