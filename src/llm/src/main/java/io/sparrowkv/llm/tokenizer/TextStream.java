package io.sparrowkv.llm.tokenizer;

import java.util.Arrays;
import java.util.function.Function;

/**
 * Decodes ids as they come. A token may end within a character, and what a token reads as may depend on the one before, so text is
 * given out only once it is whole, and a few tokens before it are decoded with it.
 */
public final class TextStream {
    /** What decoders put where bytes make no character: at the end of a text, a character may still become whole. */
    private static final String INCOMPLETE = "\uFFFD";

    /** Ids of the context that are decoded along. */
    private static final int CONTEXT = 6;

    private final Function<int[], String> decode;
    private int[] ids;
    private int given;

    TextStream(Function<int[], String> decode, int[] context) {
        this.decode = decode;
        this.ids = Arrays.copyOfRange(context, Math.max(0, context.length - CONTEXT), context.length);
        this.given = ids.length;
    }

    /** Takes an id and gives the text that is whole now; often empty. */
    public String append(int id) {
        ids = Arrays.copyOf(ids, ids.length + 1);
        ids[ids.length - 1] = id;
        String text = pending();
        if (text.isEmpty() || text.endsWith(INCOMPLETE)) {
            return "";
        }
        ids = Arrays.copyOfRange(ids, Math.max(0, ids.length - CONTEXT), ids.length);
        given = ids.length;
        return text;
    }

    /** What is left at the end, be it half a character. */
    public String finish() {
        String text = pending();
        given = ids.length;
        return text;
    }

    private String pending() {
        String before = decode.apply(Arrays.copyOf(ids, given));
        String all = decode.apply(ids);
        return all.length() <= before.length() ? "" : all.substring(before.length());
    }
}
