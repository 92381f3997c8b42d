package io.sparrowkv.cli;

import io.sparrowkv.eval.PasskeyPrompts;
import io.sparrowkv.io.TextFile;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Option;

/** How many facts are planted and asked for. */
final class PasskeyArguments {
    private static final int DEFAULT_CASES = 200;
    private static final int MOST_CASES = 100_000;

    @Option(names = "--passkeys", paramLabel = "N", description = "Facts to plant and ask for (default: 200).")
    private int cases = DEFAULT_CASES;

    @Option(names = "--seed", paramLabel = "N", description = "Chooses prose, names and numbers (default: 1).")
    private long seed = 1;

    boolean none() {
        return cases == 0;
    }

    List<PasskeyPrompts.Prompt> prompts(TextTokenizer tokenizer, Path text, int longest, int least) {
        Check.range("--passkeys", cases, least, MOST_CASES);
        return PasskeyPrompts.make(tokenizer, TextFile.read(text).lines().toList(), cases, longest, seed);
    }
}
