/** This file is shown without a token: it asks the server how one is had, and for what that takes. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { SignInWay } from '../../contract.ts';
import { asAskError, type AskError } from '../browser/api.ts';
import { hasEnded } from '../browser/session.ts';
import { askWay } from '../browser/sign-in.ts';
import { useStore } from '../browser/store.ts';
import { Icon } from './icon.tsx';
import { KeyForm } from './key-form.tsx';
import { Failed, Loading, Note } from './states.tsx';
import { TokenForm } from './token-form.tsx';

export function SignIn() {
  const [way, setWay] = useState<SignInWay | undefined>(undefined);
  const [failure, setFailure] = useState<AskError | undefined>(undefined);
  const isAgain = useStore(hasEnded);
  const askAgain = useCallback(() => {
    setFailure(undefined);
    askWay().then(setWay, (error: unknown) => setFailure(asAskError(error)));
  }, []);
  useEffect(askAgain, []);
  return (
    <main class="token" id="main">
      <Icon name="shield" />
      <h1>secgroupd console</h1>
      {isAgain && way?.how === 'key' && (
        <Note kind="warning">
          The session has ended. Sign in again: the page goes on where it was, and drafts are kept.
        </Note>
      )}
      {failure !== undefined && <Failed error={failure} again={askAgain} />}
      {way === undefined ? (
        failure === undefined && <Loading what="how to sign in" />
      ) : way.how === 'key' ? (
        <KeyForm way={way} />
      ) : (
        <TokenForm />
      )}
    </main>
  );
}
