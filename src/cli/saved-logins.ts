import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Logins at APIs, kept for further commands: `logins.json` of the user's configuration directory, which nobody else can read. */

export interface SavedLogin {
  readonly token: string;
  /** Milliseconds since the epoch; `null` where it does not end by itself. */
  readonly expiresAt: number | null;
}

/** The login at the API of this origin (`https://sluice.example:6480`), `null` if there is none that still holds. */
export async function readLogin(origin: string): Promise<SavedLogin | null> {
  const login = (await readAll())[origin];
  if (login === undefined || (login.expiresAt !== null && login.expiresAt <= Date.now())) return null;
  return login;
}

export async function saveLogin(origin: string, login: SavedLogin): Promise<void> {
  await writeAll({ ...(await readAll()), [origin]: login });
}

/** @returns false if there was none */
export async function forgetLogin(origin: string): Promise<boolean> {
  const { [origin]: forgotten, ...others } = await readAll();
  if (forgotten === undefined) return false;
  await writeAll(others);
  return true;
}

function file(): string {
  return join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'sluice', 'logins.json');
}

async function readAll(): Promise<Record<string, SavedLogin>> {
  try {
    return JSON.parse(await readFile(file(), 'utf8')) as Record<string, SavedLogin>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

/** Another command may read meanwhile: it finds the old file or the new one. */
async function writeAll(logins: Readonly<Record<string, SavedLogin>>): Promise<void> {
  const path = file();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const next = `${path}.${process.pid}`;
  const handle = await open(next, 'wx', 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(logins, null, 2)}\n`);
    await handle.close();
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
}
