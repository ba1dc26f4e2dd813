import { CommandFailure, EXIT } from './failure.ts';

/** A line typed at the terminal, which is not shown. */
export function askPassword(prompt: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(prompt);
  return new Promise((resolve, reject) => {
    let typed: string[] = [];
    const finish = (settle: () => void) => {
      stdin.off('data', take).setRawMode(false).pause();
      stderr.write('\n');
      settle();
    };
    const take = (data: string) => {
      for (const key of data) {
        if (key === '\r' || key === '\n') return finish(() => resolve(typed.join('')));
        // Ctrl-C and Ctrl-D.
        if (key === '\x03' || key === '\x04')
          return finish(() => reject(new CommandFailure(EXIT.problem, 'No password was given.')));
        // Ctrl-U takes the line back, Backspace and Delete a character.
        if (key === '\x15') typed = [];
        else if (key === '\x7f' || key === '\b') typed.pop();
        else if (key >= ' ') typed.push(key);
      }
    };
    stdin.setRawMode(true).setEncoding('utf8').on('data', take).resume();
  });
}
