/** This file says in the header whether what is shown is of now: live, paused, or since when the daemon is away. */
import { about } from '../browser/about.ts';
import { isPaused, link, source } from '../browser/live.ts';
import { useStore } from '../browser/store.ts';
import { formatClock } from '../logic/format.ts';
import { shown } from '../logic/shown.ts';
import { IconButton } from './icon-button.tsx';
import { Icon } from './icon.tsx';

interface State {
  readonly kind: 'live' | 'paused' | 'away' | 'waiting' | 'still';
  readonly text: string;
  readonly why?: string;
}

export function Status() {
  const state = useState();
  const paused = useStore(isPaused);
  const known = useStore(about);
  return (
    <div class="status">
      <p class={`pill pill-${state.kind}`} role="status" title={state.why}>
        <span class="dot" aria-hidden="true" />
        {state.text}
      </p>
      {known !== undefined && known.source !== 'input' && (
        <IconButton
          icon={paused ? 'play' : 'pause'}
          label={paused ? 'Go on' : 'Pause'}
          title={paused ? 'Go on (p)' : 'Pause (p)'}
          isPressed={paused}
          click={() => isPaused.set(!paused)}
        />
      )}
    </div>
  );
}

function useState(): State {
  const connection = useStore(link);
  const daemon = useStore(source);
  const paused = useStore(isPaused);
  const known = useStore(about);
  const isEstate = known?.source === 'estate';
  if (connection.state === 'lost')
    return {
      kind: 'away',
      text: `console away since ${formatClock(connection.sinceMs)}`,
      why: shown(connection.why),
    };
  if (connection.state === 'connecting') return { kind: 'waiting', text: 'connecting' };
  if (!daemon.isReachable)
    return {
      kind: 'away',
      text: `${isEstate ? 'store' : 'daemon'} away since ${formatClock(daemon.sinceMs)}`,
      ...(daemon.why === undefined ? {} : { why: shown(daemon.why) }),
    };
  if (known?.source === 'input') return { kind: 'still', text: 'read from files' };
  if (paused) return { kind: 'paused', text: 'paused' };
  return { kind: 'live', text: 'live' };
}

/** A bar over the view, while what it shows is not of now. */
export function AwayBar() {
  const state = useState();
  if (state.kind !== 'away') return null;
  return (
    <aside class="away-bar" aria-label="State">
      <Icon name="warning" />
      <span>
        <strong>{state.text}.</strong> What is shown is of before. It goes on by itself when it is
        back.
        {state.why !== undefined && <span class="muted"> ({state.why})</span>}
      </span>
    </aside>
  );
}
