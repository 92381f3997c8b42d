package io.sparrowkv.llm.generate;

/** Follows a generation as it happens. */
public interface GenerationListener {
    /** Follows nothing. */
    GenerationListener NONE = text -> {};

    /** Text that has become certain; whole characters only. */
    void text(String text);

    /** The prompt has been read up to {@code tokens} of {@code all}. */
    default void prefilled(int tokens, int all) {}

    /** {@code tokens} tokens have been generated. */
    default void generated(int tokens) {}
}
