import { spawnSync } from 'node:child_process';

/** An unprivileged account to run a server under; database servers refuse to run as root. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The account to switch to when this process is root: `preferred`, else `nobody`. `null` when it is not root. */
export function unprivilegedAccount(preferred: 'postgres' | 'mysql'): Account | null {
  if (process.getuid?.() !== 0) return null;
  for (const name of [preferred, 'nobody']) {
    const id = (flag: string) => spawnSync('id', [flag, name], { encoding: 'utf8' });
    const uid = id('-u');
    if (uid.status === 0) return { uid: Number(uid.stdout), gid: Number(id('-g').stdout) };
  }
  throw new Error(`running as root and neither the account ${preferred} nor nobody exists to run the server under`);
}
