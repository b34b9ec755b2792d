/** `sgctl completion`: scripts that complete its own command line, for bash, zsh and fish. */
import { Argument, type Command } from 'commander';
import { bashCompletion } from './completion-bash.ts';
import { fishCompletion } from './completion-fish.ts';
import { describeCommand, type CommandNode } from './completion-tree.ts';
import { zshCompletion } from './completion-zsh.ts';
import { exitCodeHelp } from './exit-codes.ts';

const SHELLS: Readonly<Record<string, (program: CommandNode) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .summary('print a script that completes sgctl in a shell')
    .description(
      'Prints a script that completes the subcommands and options of sgctl, and the names of interfaces, groups, rules and labs that are there. The Debian package has installed them.',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SHELLS)))
    .addHelpText(
      'after',
      `
Where to put it:
  sgctl completion bash > ~/.local/share/bash-completion/completions/sgctl
  sgctl completion zsh > ~/.zfunc/_sgctl      # a directory of fpath, before compinit
  sgctl completion fish > ~/.config/fish/completions/sgctl.fish

${exitCodeHelp('sgctl completion')}`,
    )
    .action((shell: string) => {
      process.stdout.write(SHELLS[shell](describeCommand(program)));
    });
}
