import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Logins at APIs, kept for further commands: `logins.json` of the user's configuration directory, which nobody else can read. */

/** A provider as the API tells of it. */
export interface Provider {
  readonly issuer: string;
  readonly audience: readonly string[];
  readonly client: string | null;
  readonly scopes: readonly string[];
  readonly resource: string | null;
}

export interface SavedLogin {
  readonly token: string;
  /** Milliseconds since the epoch; `null` where it does not end by itself. */
  readonly expiresAt: number | null;
  /** What gets a new token from its OpenID provider. */
  readonly refresh?: { readonly provider: Provider; readonly token: string };
}

/** How long another command may keep the lock, milliseconds. */
const LOCKED_MS = 30_000;

/** The login at the API of this origin (`https://sluice.example:6480`), whether its token still holds or not. */
export async function readLogin(origin: string): Promise<SavedLogin | null> {
  return (await readAll())[origin] ?? null;
}

export async function saveLogin(origin: string, login: SavedLogin): Promise<void> {
  await writeAll({ ...(await readAll()), [origin]: login });
}

/** @returns what is forgotten, `null` if there was none */
export async function forgetLogin(origin: string): Promise<SavedLogin | null> {
  const { [origin]: forgotten, ...others } = await readAll();
  if (forgotten === undefined) return null;
  await writeAll(others);
  return forgotten;
}

/** Does work that no other command on this machine does meanwhile for the same user. */
export async function withLock<Done>(work: () => Promise<Done>): Promise<Done> {
  const lock = `${file()}.lock`;
  for (;;) {
    try {
      await (await open(lock, 'wx', 0o600)).close();
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const since = await stat(lock).catch(() => null);
      // Whoever had it was killed.
      if (since !== null && Date.now() - since.mtimeMs > LOCKED_MS) await rm(lock, { force: true });
      else await sleep(50);
    }
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
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
