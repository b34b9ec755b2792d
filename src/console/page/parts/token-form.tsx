/** This form takes the token of sgctl console: the address had none, or the console was started again. */
import { useState } from 'preact/hooks';
import { setToken } from '../browser/session.ts';
import { tokenIn } from '../logic/route.ts';

export function TokenForm() {
  const [text, setText] = useState('');
  const [isWrong, setIsWrong] = useState(false);
  const submit = (event: Event): void => {
    event.preventDefault();
    const given = text.trim();
    const hash = given.includes('#') ? given.slice(given.indexOf('#')) : `#token=${given}`;
    const found = tokenIn(hash);
    setIsWrong(found === undefined);
    if (found !== undefined) setToken(found);
  };
  return (
    <>
      <p>
        Open the address that <code>sgctl console</code> printed. It has a token, which is new with
        each start of the console. Or paste the address, or the token, here:
      </p>
      <form onSubmit={submit}>
        <label for="token">Address or token</label>
        <div class="row">
          <input
            id="token"
            value={text}
            autocomplete="off"
            spellcheck={false}
            aria-invalid={isWrong}
            aria-describedby={isWrong ? 'token-wrong' : undefined}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <button type="submit" class="primary">
            Open
          </button>
        </div>
        {isWrong && (
          <p id="token-wrong" class="wrong" role="alert">
            That is neither the address of a console nor a token.
          </p>
        )}
      </form>
    </>
  );
}
