/** This file is the list of keys. */
import { useEffect, useRef } from 'preact/hooks';
import { isHelpOpen } from '../browser/keys.ts';
import { useStore } from '../browser/store.ts';
import { IconButton } from './icon-button.tsx';

const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ['/', 'go to the filter box'],
  ['g m', 'map'],
  ['g w', 'why'],
  ['g l', 'live'],
  ['g d', 'draft'],
  ['g x', 'matrix'],
  ['g h', 'history of changes'],
  ['g o', 'hosts'],
  ['g a', 'about'],
  ['p', 'pause what is live, or go on'],
  ['+ −', 'map: zoom in and out'],
  ['0', 'map: show all of it'],
  ['← ↑ → ↓', 'map: move it'],
  ['Esc', 'close a panel, leave a field'],
  ['?', 'this list'],
];

export function Help() {
  const isOpen = useStore(isHelpOpen);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  return (
    <dialog
      ref={dialog}
      class="help"
      aria-label="Keys"
      onClose={() => isHelpOpen.set(false)}
      onClick={(event) => event.target === dialog.current && isHelpOpen.set(false)}
    >
      <div class="help-content">
        <div class="panel-head">
          <h2>Keys</h2>
          <IconButton icon="close" label="Close" click={() => isHelpOpen.set(false)} />
        </div>
        <dl class="keys">
          {KEYS.map(([keys, what]) => (
            <div key={keys}>
              <dt>
                {keys.split(' ').map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </div>
    </dialog>
  );
}
