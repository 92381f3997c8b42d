package io.sparrowkv.cli;

import io.sparrowkv.eval.PasskeyEvaluation;
import io.sparrowkv.eval.PasskeyPrompts;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import io.sparrowkv.report.Progress;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Plants facts in a text and asks for them through several caches. */
@Command(
        name = "passkey",
        description = "Plant facts in a text, and ask for them through the dense cache and through others.",
        sortOptions = false)
final class EvalPasskeyCommand implements Runnable {
    private static final int DEFAULT_CONTEXT = 2048;

    @Mixin
    private ModelArguments model;

    @Option(names = "--text", paramLabel = "FILE", required = true, description = "UTF-8 text to plant facts in.")
    private Path text;

    @Option(names = "--context", paramLabel = "N", description = "Tokens of the longest prompt (default: 2048).")
    private int context = DEFAULT_CONTEXT;

    @Mixin
    private PasskeyArguments passkeys;

    @Mixin
    private CodecListArguments codecs;

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        List<CodecSpec> specs = codecs.specs(dictionaries.threads());
        if (!Files.isRegularFile(text)) {
            throw new InvalidInputException(text + ": no such file");
        }
        Libtorch.useThreads(dictionaries.threads());
        Path folder = model.folder();
        try (CausalLm lm = CausalLm.load(folder);
                TextTokenizer tokenizer = TextTokenizer.load(folder, lm.config().vocabulary());
                ComparedCaches compared = ComparedCaches.open(specs, lm, dictionaries, codecs.transformText(text, 0))) {
            int longest = Math.min(context, model.maxContext(lm.config().maxPositions()));
            List<PasskeyPrompts.Prompt> prompts = passkeys.prompts(tokenizer, text, longest, 1);
            PasskeyEvaluation evaluation = new PasskeyEvaluation(lm, compared.caches(), EvalPplCommand.DEFAULT_CHUNK);
            try (Progress progress = Progress.start("eval passkey", prompts.size(), "prompts", output.err())) {
                output.emit(new Result(
                        "eval passkey",
                        folder.toString(),
                        text.toString(),
                        specs,
                        prompts.size(),
                        evaluation.run(prompts, done -> progress.at(done, ""))));
            }
        }
    }

    /** The scores with what they were made of. */
    record Result(
            String command,
            String model,
            String text,
            List<CodecSpec> codecs,
            int prompts,
            List<PasskeyEvaluation.Score> scores)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            TextTable table = TextTable.columns(
                    "cache", "found", "of those dense finds", "digits", "1st quarter", "2nd", "3rd", "4th");
            int dense = scores.getFirst().exact();
            for (PasskeyEvaluation.Score score : scores) {
                List<String> quarters = IntStream.range(0, score.byDepth().size())
                        .mapToObj(i -> score.byDepth().get(i) + "/"
                                + score.casesByDepth().get(i))
                        .toList();
                table.row(
                        score.name(),
                        score.exact() + " of " + score.cases(),
                        score.exactOfDense() + " of " + dense,
                        Quantities.percent(score.digitShare()),
                        quarters.get(0),
                        quarters.get(1),
                        quarters.get(2),
                        quarters.get(3));
            }
            table.print(out);
        }
    }
}
