import type { Command } from 'commander';
import { ApiClient, type ApiOptions, withApiAddress } from './api-client.ts';
import { forgetLogin } from './saved-logins.ts';

export function addLogoutCommand(program: Command): void {
  withApiAddress(program.command('logout'))
    .description('Ends the login that `sluice login` left, here and where it was made.')
    .action(async (options: ApiOptions) => {
      const { origin } = await ApiClient.anonymous(options);
      const login = await forgetLogin(origin);
      if (login === null) {
        console.log(`Nobody is logged in at ${origin}.`);
        return;
      }
      // It is forgotten here whatever becomes of it there.
      try {
        if (login.refresh === undefined) await ApiClient.withToken(origin, login.token).post('/logout', {});
        else {
          const { revokeLogin } = await import('./oidc-login.ts');
          await revokeLogin(login.refresh);
        }
        console.log(`Logged out at ${origin}.`);
      } catch (error) {
        console.log(`Logged out here; the token itself could not be ended: ${(error as Error).message}`);
      }
    });
}
