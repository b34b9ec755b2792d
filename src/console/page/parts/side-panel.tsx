/** This panel stands beside a view and tells of what was chosen there. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { IconButton } from './icon-button.tsx';

export function SidePanel({
  label,
  title,
  chosen,
  close,
  children,
}: {
  readonly label: string;
  readonly title: ComponentChildren;
  /** What it is about. */
  readonly chosen: unknown;
  readonly close: () => void;
  readonly children: ComponentChildren;
}) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // The view may be a table that the panel covers: whoever uses keys is where the news is.
    button.current?.focus({ preventScroll: true });
  }, [chosen]);
  return (
    <aside class="panel side-panel" aria-label={label}>
      <div class="panel-head">
        {title}
        <IconButton button={button} icon="close" label="Close" title="Close (Esc)" click={close} />
      </div>
      {children}
    </aside>
  );
}
