import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { SecretReference } from './schema-values.ts';

const COMMAND_DEADLINE_MS = 10_000;
const LONGEST_SECRET_BYTES = 64 * 1024;

/**
 * The secret a reference stands for. Relative paths and the command's working directory are `directory`. Throws an Error
 * that names the reference, never a value nor anything the command printed.
 */
export async function resolveSecret(
  reference: SecretReference,
  directory: string,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  if (reference.env !== undefined) {
    return checked(environment[reference.env] ?? '', `environment variable ${reference.env}`, 'is not set or empty');
  }
  if (reference.file !== undefined) {
    const file = resolve(directory, reference.file);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      throw new Error(`secret file ${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
    }
    return checked(withoutLineEnd(text), `secret file ${file}`, 'is empty');
  }
  const [program, ...args] = reference.command as [string, ...string[]];
  const text = await outputOf(program, args, directory, environment);
  return checked(withoutLineEnd(text), `secret command ${program}`, 'printed nothing');
}

function outputOf(
  program: string,
  args: readonly string[],
  directory: string,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  return new Promise((resolveOutput, reject) => {
    const options = {
      cwd: directory,
      env: environment,
      timeout: COMMAND_DEADLINE_MS,
      killSignal: 'SIGKILL',
      maxBuffer: LONGEST_SECRET_BYTES,
    } as const;
    execFile(program, args, options, (error, stdout) => {
      if (error === null) resolveOutput(stdout);
      else if (error.killed) reject(new Error(`secret command ${program} printed too much or took over 10 seconds`));
      else reject(new Error(`secret command ${program} failed (${error.code ?? error.signal})`));
    });
  });
}

function checked(value: string, what: string, ifEmpty: string): string {
  if (value === '') throw new Error(`${what} ${ifEmpty}`);
  if (value.includes('\0')) throw new Error(`${what} holds a NUL, no password can`);
  return value;
}

function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, '');
}
