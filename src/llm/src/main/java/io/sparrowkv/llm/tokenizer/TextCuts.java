package io.sparrowkv.llm.tokenizer;

import io.sparrowkv.io.JsonFields;
import tools.jackson.databind.JsonNode;

/**
 * Where a long text can be cut without changing its tokens, so that a book is not tokenized as one: the library needs some 200 bytes
 * a token.
 *
 * <p>Byte-level tokenizers (GPT-2, Llama 3, Qwen) first split the text by a pattern, and all their patterns split between a single
 * line break and the letter after it. Others, which put a mark before a text or know no words, are not cut.
 */
final class TextCuts {
    private static final int PIECE = 1 << 20;

    private final boolean allowed;

    private TextCuts(boolean allowed) {
        this.allowed = allowed;
    }

    static TextCuts of(JsonFields tokenizer) {
        boolean changesNothingAtACut = tokenizer
                .get("normalizer")
                .map(n -> n.path("type").asString("").equals("NFC"))
                .orElse(true);
        boolean byteLevel =
                tokenizer.get("pre_tokenizer").map(TextCuts::splitsByteLevel).orElse(false);
        return new TextCuts(changesNothingAtACut && byteLevel);
    }

    private static boolean splitsByteLevel(JsonNode node) {
        return switch (node.path("type").asString("")) {
            case "ByteLevel" ->
                node.path("use_regex").asBoolean(true)
                        && !node.path("add_prefix_space").asBoolean(true);
            case "Sequence" -> {
                JsonNode steps = node.path("pretokenizers");
                yield steps.size() == 2
                        && steps.path(0).path("type").asString("").equals("Split")
                        && steps.path(1).path("type").asString("").equals("ByteLevel")
                        && !steps.path(1).path("add_prefix_space").asBoolean(true);
            }
            default -> false;
        };
    }

    /** End of the piece that begins at {@code from}. */
    int next(String text, int from) {
        if (allowed) {
            for (int cut = from + PIECE; cut < text.length(); cut++) {
                if (text.charAt(cut - 1) == '\n'
                        && !Character.isWhitespace(text.charAt(cut - 2))
                        && Character.isLetter(text.charAt(cut))) {
                    return cut;
                }
            }
        }
        return text.length();
    }
}
