package io.sparrowkv.report;

import java.io.PrintWriter;

/**
 * The result of a command: a record whose components are its JSON document, and which knows its form for people. Names of
 * components are what scripts rely on.
 */
public interface Report {
    /** Writes the form for people. */
    void print(PrintWriter out);
}
