package io.sparrowkv.cli;

import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.eval.PasskeyEvaluation;
import io.sparrowkv.eval.PasskeyPrompts;
import io.sparrowkv.eval.PerplexityEvaluation;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import io.sparrowkv.report.CodecChart;
import io.sparrowkv.report.Progress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Compares codecs in one run: what each costs in predictions and memory of facts, against its bytes. */
@Command(
        name = "codecs",
        description =
                "Compare codecs in one run: bytes against divergence, perplexity and passkeys; table, chart and page.",
        sortOptions = false)
final class EvalCodecsCommand implements Runnable {
    @Mixin
    private ModelArguments model;

    @Mixin
    private EvalTextArguments text;

    @Option(
            names = "--chunk",
            paramLabel = "N",
            description =
                    "Tokens that pass through the model at once; the result does not depend on it (default: 256).")
    private int chunk = EvalPplCommand.DEFAULT_CHUNK;

    @Mixin
    private PasskeyArguments passkeys;

    @Mixin
    private CodecListArguments codecs;

    @Option(
            names = "--chart",
            paramLabel = "FILE",
            description = "Where the chart of divergence over bytes goes (default: out/codecs.png).")
    private Path chart = Path.of("out", "codecs.png");

    @Option(
            names = "--page",
            paramLabel = "FILE",
            description = "Where the page with table and chart goes, one HTML file (default: out/codecs.html).")
    private Path page = Path.of("out", "codecs.html");

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--chunk", chunk, 1, 1 << 20);
        OutputPaths.requireWritable(chart);
        OutputPaths.requireWritable(page);
        List<CodecSpec> specs = codecs.specs(dictionaries.threads());
        Libtorch.useThreads(dictionaries.threads());
        Path folder = model.folder();
        try (CausalLm lm = CausalLm.load(folder);
                TextTokenizer tokenizer = TextTokenizer.load(folder, lm.config().vocabulary())) {
            int context = text.context(model.maxContext(lm.config().maxPositions()));
            int[] ids = text.ids(lm);
            List<PasskeyPrompts.Prompt> prompts =
                    passkeys.none() ? List.of() : passkeys.prompts(tokenizer, text.file(), context, 0);
            List<PerplexityEvaluation.Result> read;
            List<PasskeyEvaluation.Score> scores;
            TransformText learnt = codecs.transformText(text.file(), ids.length);
            try (ComparedCaches compared = ComparedCaches.open(specs, lm, dictionaries, learnt)) {
                read = read(lm, compared.caches(), ids, context);
                scores = ask(lm, compared.caches(), prompts);
            }
            CodecsReport report = new CodecsReport(
                    "eval codecs",
                    folder.toString(),
                    text.file().toString(),
                    ids.length,
                    context,
                    specs.getFirst().options().window(),
                    specs.getFirst().options().sinks(),
                    lm.config().dHead() * 2 * 2,
                    scores.isEmpty() ? Optional.empty() : Optional.of(scores.getFirst()),
                    rows(lm, specs, read, scores),
                    chart.toString(),
                    page.toString());
            byte[] png = CodecChart.png(report.points());
            CodecChart.write(png, chart);
            CodecsPage.write(report, png, page);
            output.emit(report);
        }
    }

    private List<PerplexityEvaluation.Result> read(CausalLm lm, List<CacheUnderTest> caches, int[] ids, int context) {
        try (Progress progress = Progress.start("eval codecs", ids.length, "tokens", output.err())) {
            return new PerplexityEvaluation(lm, caches, context, chunk).run(ids, done -> progress.at(done, ""));
        }
    }

    private List<PasskeyEvaluation.Score> ask(
            CausalLm lm, List<CacheUnderTest> caches, List<PasskeyPrompts.Prompt> prompts) {
        if (prompts.isEmpty()) {
            return List.of();
        }
        try (Progress progress = Progress.start("eval codecs, passkeys", prompts.size(), "prompts", output.err())) {
            return new PasskeyEvaluation(lm, caches, chunk).run(prompts, done -> progress.at(done, ""));
        }
    }

    private static List<CodecsReport.Row> rows(
            CausalLm lm,
            List<CodecSpec> specs,
            List<PerplexityEvaluation.Result> read,
            List<PasskeyEvaluation.Score> scores) {
        List<CodecsReport.Row> rows = new ArrayList<>();
        for (int i = 0; i < specs.size(); i++) {
            rows.add(new CodecsReport.Row(
                    specs.get(i).name(),
                    specs.get(i).isSparse(),
                    read.get(i).bytes().perVector(),
                    read.get(i),
                    scores.isEmpty() ? Optional.empty() : Optional.of(scores.get(i + 1))));
        }
        return rows;
    }
}
