/** This button has a sign for its text, and a name for who can't see it. */
import type { Ref } from 'preact';
import { Icon, type IconName } from './icon.tsx';

export function IconButton({
  icon,
  label,
  title,
  click,
  isPressed,
  button = null,
}: {
  readonly icon: IconName;
  readonly label: string;
  /** What a pointer that rests on it is told. */
  readonly title?: string;
  readonly click: () => void;
  /** Of a switch. */
  readonly isPressed?: boolean;
  readonly button?: Ref<HTMLButtonElement>;
}) {
  return (
    <button
      ref={button}
      type="button"
      class="icon-button"
      aria-label={label}
      aria-pressed={isPressed}
      title={title}
      onClick={click}
    >
      <Icon name={icon} />
    </button>
  );
}
