# Sourced by the scripts of this repository: where the JDK 25 is that they run on.

# Prints the home of a JDK 25: JAVA_HOME if it is one, else SDKMAN's, the usual folders, the java on the PATH.
# Fails with one line on stderr that says what to install.
find_jdk25() {
    local home path_java
    path_java=$(command -v java || true)
    if [ -n "$path_java" ]; then
        path_java=$(readlink -f "$path_java" 2>/dev/null || echo "$path_java")
    fi
    for home in \
        "${JAVA_HOME:-}" \
        "${SDKMAN_DIR:-$HOME/.sdkman}"/candidates/java/* \
        /usr/lib/jvm/* \
        /usr/java/* \
        /opt/java/* \
        "$HOME"/.jdks/* \
        /Library/Java/JavaVirtualMachines/*/Contents/Home \
        "${path_java%/bin/java}"; do
        # The release file names the version without starting a JVM; javac tells a JDK from a bare runtime.
        if [ -n "$home" ] && [ -x "$home/bin/javac" ] \
            && grep -Eqs '^JAVA_VERSION="25(\.|")' "$home/release"; then
            echo "$home"
            return 0
        fi
    done
    echo "sparrow: no JDK 25 found; install one (such as Temurin 25 from https://adoptium.net) or set JAVA_HOME to it" >&2
    return 1
}
