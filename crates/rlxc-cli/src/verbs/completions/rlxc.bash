# Completion of rlxc and the lxc-* names for bash: the program itself knows what fits.

_rlxc() {
    local line word
    local -a words=()
    # bash splits at "=": the parts belong together here.
    local i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        words+=("${COMP_WORDS[i]}")
    done
    COMPREPLY=()
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        if [[ $word == ":files" ]]; then
            compopt -o default 2>/dev/null
            COMPREPLY=()
            return
        fi
        COMPREPLY+=("$(printf '%q' "$word")")
    done < <(rlxc completions complete "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *"\\=" ]]; then
        COMPREPLY[0]=${COMPREPLY[0]%"\\="}=
        compopt -o nospace 2>/dev/null
    fi
}

complete -F _rlxc rlxc @TOOLS@
