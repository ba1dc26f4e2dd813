import { Argument, type Command, type Option } from 'commander';

/** A command, by the words that name it. */
interface Node {
  /** None for `sluice` itself. */
  readonly words: readonly string[];
  readonly command: Command;
}

const SHELLS = {
  bash: bashScript,
  // zsh takes bash's completion functions as they are, but for names that are its own (path, words), and letters behind a colon.
  zsh: (program: Command) => `autoload -U +X bashcompinit && bashcompinit\n${bashScript(program)}`,
  fish: fishScript,
} as const;

/** Has to be added last: what it prints is about the commands that are there. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('Prints what makes a shell complete commands and options, for the file the shell reads at its start.')
    .addArgument(new Argument('<shell>', 'whose it is').choices(Object.keys(SHELLS)))
    .addHelpText(
      'after',
      `
  bash   eval "$(sluice completion bash)"          in ~/.bashrc
  zsh    eval "$(sluice completion zsh)"           in ~/.zshrc, behind compinit
  fish   sluice completion fish | source           in ~/.config/fish/config.fish`,
    )
    .action((shell: keyof typeof SHELLS) => console.log(SHELLS[shell](program)));
}

function nodesOf(command: Command, words: readonly string[] = []): Node[] {
  return [{ words, command }, ...command.commands.flatMap((inner) => nodesOf(inner, [...words, inner.name()]))];
}

function optionsOf({ command }: Node): readonly Option[] {
  return command.createHelp().visibleOptions(command);
}

function flagsOf(option: Option): string[] {
  return [option.long, option.short].filter((flag) => flag !== undefined && flag !== null);
}

/** Values are completed where they are few; everything else is completed as the name of a file. */
function bashScript(program: Command): string {
  const nodes = nodesOf(program);
  const key = ({ words }: Node) => words.map((word) => ` ${word}`).join('');
  const values = nodes.flatMap((node) => [
    ...optionsOf(node).flatMap((option) =>
      flagsOf(option).map((flag) => ({ at: `${key(node)}:${flag}`, choices: option.argChoices ?? [] })),
    ),
  ]);
  const wordsOf = (node: Node) => [
    ...node.command.commands.map((inner) => inner.name()),
    ...node.command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
  ];
  return `_sluice() {
  local word command= candidates= flags= cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
    case "$command $word" in
      ${nodes
        .slice(1)
        .map((node) => `"${key(node)}"`)
        .join('|')}) command="$command $word" ;;
    esac
  done
  case "$command:$prev" in
${values
  .filter(({ choices }) => choices.length > 0)
  .map(({ at, choices }) => `    "${at}") COMPREPLY=($(compgen -W "${choices.join(' ')}" -- "$cur")); return ;;`)
  .join('\n')}
  esac
  case "$command" in
${nodes
  .map(
    (node) =>
      `    "${key(node)}") candidates="${wordsOf(node).join(' ')}" flags="${optionsOf(node).flatMap(flagsOf).join(' ')}" ;;`,
  )
  .join('\n')}
  esac
  [[ $cur == -* ]] && candidates=$flags
  COMPREPLY=($(compgen -W "$candidates" -- "$cur"))
}
complete -o default -F _sluice sluice`;
}

function fishScript(program: Command): string {
  const quoted = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`;
  const lines = nodesOf(program).flatMap((node) => {
    const inside = node.words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const inner = node.command.commands.map((command) => command.name());
    const before = inner.length === 0 ? [] : [`not __fish_seen_subcommand_from ${inner.join(' ')}`];
    const when = [...inside, ...before].join('; and ');
    const about = `complete -c sluice${when === '' ? '' : ` -n ${quoted(when)}`}`;
    return [
      ...node.command.commands.map((command) => `${about} -f -a ${command.name()} -d ${quoted(command.description())}`),
      ...node.command.registeredArguments.flatMap(({ argChoices }) =>
        argChoices === undefined ? [] : [`${about} -f -a ${quoted(argChoices.join(' '))}`],
      ),
      ...optionsOf(node).map((option) => {
        const flags = `${option.short ? ` -s ${option.short.slice(1)}` : ''}${option.long ? ` -l ${option.long.slice(2)}` : ''}`;
        const values = option.argChoices === undefined ? '' : ` -x -a ${quoted(option.argChoices.join(' '))}`;
        const value = option.required && values === '' ? ' -r' : values;
        return `${about}${flags}${value} -d ${quoted(option.description)}`;
      }),
    ];
  });
  return lines.join('\n');
}
