# Completion of rlxc and the lxc-* names for fish: the program itself knows what fits.

function __rlxc_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (rlxc completions complete $words 2>/dev/null)
    if string match -q ':files*' -- $found[1]
        __fish_complete_path (commandline -ct)
        return
    end
    printf '%s\n' $found
end

for tool in rlxc @TOOLS@
    complete -c $tool -f -a '(__rlxc_complete)'
end
