#compdef rlxc @TOOLS@
# Completion of rlxc and the lxc-* names for zsh: the program itself knows what fits.

_rlxc() {
    local line
    local -a described lines
    lines=("${(@f)$(rlxc completions complete "${(@)words[1,CURRENT]}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        [[ -z $line ]] && continue
        if [[ ${line%%$'\t'*} == ":files" ]]; then
            _files
            return
        fi
        described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe -t rlxc 'rlxc' described
}

if [[ $funcstack[1] == _rlxc ]]; then
    _rlxc "$@"
else
    compdef _rlxc rlxc @TOOLS@
fi
