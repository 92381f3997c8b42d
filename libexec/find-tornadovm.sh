# Sourced by the scripts of this repository: where the TornadoVM SDK is, for those who installed one.

# Prints the home of the SDK, TORNADOVM_HOME or SDKMAN's; fails silently when there is none, or TORNADOVM_HOME is "none".
find_tornadovm() {
    local home
    if [ "${TORNADOVM_HOME:-}" = none ]; then
        return 1
    fi
    for home in "${TORNADOVM_HOME:-}" "$HOME/.sdkman/candidates/tornadovm/current"; do
        if [ -n "$home" ] && [ -d "$home/share/java/tornado" ]; then
            echo "$home"
            return 0
        fi
    done
    return 1
}
