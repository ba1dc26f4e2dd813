import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Runs a test that is a program of its own.
 *
 * @param limitMs time it may take, milliseconds
 * @returns empty when it passed, otherwise what went wrong and what it wrote
 */
export async function runTestProgram(
  command: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; readonly limitMs: number },
): Promise<string> {
  const { cwd, env, limitMs } = options;
  const [file = '', ...args] = command;
  const program = spawn(file, args, {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [program.stdout, program.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const [code, signal] = await once(program, 'close');
  if (code === 0) return '';
  return `${signal === null ? `exit ${code}` : `ended by ${signal}; the limit is ${limitMs / 1000} s`}\n${output}`;
}
