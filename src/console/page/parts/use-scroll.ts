/** This hook follows what part of a large table is in sight. */
import { useEffect, useRef, useState } from 'preact/hooks';

/** In pixels. */
export interface Scroll {
  readonly top: number;
  readonly left: number;
  readonly width: number;
  readonly height: number;
}

/** @param start until the browser has told the size of the frame */
export function useScroll(start: Scroll) {
  const frame = useRef<HTMLDivElement>(null);
  const [scroll, setScroll] = useState(start);
  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const look = (): void =>
      setScroll({
        top: element.scrollTop,
        left: element.scrollLeft,
        width: element.clientWidth,
        height: element.clientHeight,
      });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener('scroll', look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', look);
    };
  }, []);
  return { frame, scroll };
}
