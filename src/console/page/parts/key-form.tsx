/** This form signs in by an access key of secgroup-api. */
import { useState } from 'preact/hooks';
import type { SignInWay } from '../../contract.ts';
import { asAskError, type AskError } from '../browser/api.ts';
import { signIn } from '../browser/sign-in.ts';
import { maySign, type AccessKey } from '../logic/sign-request.ts';
import { shown } from '../logic/shown.ts';
import { Note } from './states.tsx';

type Way = Extract<SignInWay, { how: 'key' }>;

export function KeyForm({ way }: { readonly way: Way }) {
  const [id, setId] = useState('');
  const [secret, setSecret] = useState('');
  const [session, setSession] = useState('');
  const [isBusy, setIsBusy] = useState(false);
  const [error, setError] = useState<AskError | undefined>(undefined);
  if (!maySign())
    return (
      <Note kind="warning">
        This browser signs only on pages that came by https, or from this machine. Open this page by
        https, or take its port along with ssh -L.
      </Note>
    );
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isBusy) return;
    setIsBusy(true);
    setError(undefined);
    try {
      await signIn(way, keyOf(id, secret, session));
    } catch (thrown) {
      setError(asAskError(thrown));
      setIsBusy(false);
    }
  };
  return (
    <>
      <p>
        Sign in with an access key of secgroup-api. The secret signs one request in this page: it is
        not sent, and not kept.
      </p>
      <form onSubmit={(event) => void submit(event)} autocomplete="off">
        <KeyInput label="Access key id" value={id} change={setId} isWrong={error !== undefined} />
        <KeyInput
          label="Secret access key"
          value={secret}
          change={setSecret}
          isWrong={error !== undefined}
          isSecret
        />
        <details>
          <summary>The key is of a session (AssumeRole)</summary>
          <KeyInput label="Session token" value={session} change={setSession} isOptional isSecret />
        </details>
        <button type="submit" class="primary" disabled={isBusy}>
          {isBusy ? 'Signing in…' : 'Sign in'}
        </button>
        {error !== undefined && <Refused error={error} />}
      </form>
    </>
  );
}

function keyOf(id: string, secret: string, session: string): AccessKey {
  const key = { accessKeyId: id.trim(), secretAccessKey: secret.trim() };
  return session.trim() === '' ? key : { ...key, sessionToken: session.trim() };
}

function Refused({ error: { message, hint } }: { readonly error: AskError }) {
  return (
    <p id="key-wrong" class="wrong" role="alert">
      {shown(message)}
      {hint !== undefined && <span>; {shown(hint)}</span>}
    </p>
  );
}

function KeyInput({
  label,
  value,
  change,
  isWrong = false,
  isSecret = false,
  isOptional = false,
}: {
  readonly label: string;
  readonly value: string;
  readonly change: (value: string) => void;
  readonly isWrong?: boolean;
  readonly isSecret?: boolean;
  readonly isOptional?: boolean;
}) {
  const properties = {
    ...{ value, required: !isOptional, autocomplete: 'off', spellcheck: false },
    'aria-invalid': isWrong,
    'aria-describedby': isWrong ? 'key-wrong' : undefined,
    onInput: (event: Event & { readonly currentTarget: HTMLInputElement }): void =>
      change(event.currentTarget.value),
  };
  return (
    <label class="field">
      <span>{label}</span>
      {isSecret ? <input type="password" {...properties} /> : <input type="text" {...properties} />}
    </label>
  );
}
