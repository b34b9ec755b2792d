/** This file moves and zooms the map: by wheel, mouse, fingers, keys and buttons. */
import type { RefObject } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { addKeys } from '../../browser/keys.ts';
import {
  fitSight,
  panSight,
  zoomSight,
  type Box,
  type Sight,
  type Size,
} from '../../logic/map-geometry.ts';

const ZOOM_STEP = 1.3;
const PAN_PX = 80;
/** Pixels of the wheel for a factor of e. */
const WHEEL_PX = 500;
/** A shorter way of the pointer is a click. */
const CLICK_PX = 4;

export interface MapSight {
  readonly frame: RefObject<HTMLDivElement | null>;
  readonly sight: Sight;
  readonly zoomIn: () => void;
  readonly zoomOut: () => void;
  readonly fit: () => void;
  readonly onPointerDown: (event: PointerEvent) => void;
  readonly onPointerMove: (event: PointerEvent) => void;
  readonly onPointerUp: (event: PointerEvent) => void;
  readonly onKeyDown: (event: KeyboardEvent) => void;
  /** Whether the pointer has moved the map since it went down: then its end is no click. */
  readonly wasDragged: () => boolean;
}

/** @param boxes all that should be in sight at first */
export function useSight(boxes: ReadonlyMap<string, Box>): MapSight {
  const frame = useRef<HTMLDivElement>(null);
  // About as it will be, until the frame is there and tells its size.
  const [sight, setSight] = useState<Sight>(() =>
    fitSight([...boxes.values()], { width: innerWidth, height: innerHeight }),
  );
  const latest = useRef(boxes);
  latest.current = boxes;
  const isTouched = useRef(false);
  const fit = useCallback(() => {
    isTouched.current = false;
    if (frame.current !== null)
      setSight(fitSight([...latest.current.values()], sizeOf(frame.current)));
  }, []);
  const change = useCallback((next: (sight: Sight, size: Size) => Sight) => {
    isTouched.current = true;
    const element = frame.current;
    if (element !== null) setSight((last) => next(last, sizeOf(element)));
  }, []);
  const zoom = useCallback(
    (factor: number) =>
      change((last, { width, height }) => zoomSight(last, factor, { x: width / 2, y: height / 2 })),
    [],
  );
  useFirstFit(frame, isTouched, fit, boxes.size);
  useWheel(frame, change);
  useEffect(
    () =>
      addKeys((key) => {
        const act = keyActions(zoom, fit)[key];
        act?.();
        return act !== undefined;
      }),
    [],
  );
  return {
    frame,
    sight,
    zoomIn: () => zoom(ZOOM_STEP),
    zoomOut: () => zoom(1 / ZOOM_STEP),
    fit,
    onKeyDown: (event) => panByKey(event, change),
    ...usePointers(change),
  };
}

function keyActions(
  zoom: (factor: number) => void,
  fit: () => void,
): Readonly<Record<string, (() => void) | undefined>> {
  return {
    '+': () => zoom(ZOOM_STEP),
    '=': () => zoom(ZOOM_STEP),
    '-': () => zoom(1 / ZOOM_STEP),
    '0': fit,
  };
}

type Change = (next: (sight: Sight, size: Size) => Sight) => void;

function panByKey(event: KeyboardEvent, change: Change): void {
  const ways: Readonly<Record<string, readonly [number, number]>> = {
    ArrowLeft: [-PAN_PX, 0],
    ArrowRight: [PAN_PX, 0],
    ArrowUp: [0, -PAN_PX],
    ArrowDown: [0, PAN_PX],
  };
  const way = ways[event.key];
  if (way === undefined) return;
  event.preventDefault();
  change((last) => panSight(last, way[0], way[1]));
}

/** Shows all of the map until the reader has chosen a part of it. */
function useFirstFit(
  frame: RefObject<HTMLDivElement | null>,
  isTouched: RefObject<boolean>,
  fit: () => void,
  count: number,
): void {
  useEffect(() => {
    if (isTouched.current !== true) fit();
  }, [count]);
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (isTouched.current !== true) fit();
    });
    if (frame.current !== null) observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
}

function useWheel(frame: RefObject<HTMLDivElement | null>, change: Change): void {
  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    // Preact's own listener is passive, and could not keep the page from scrolling.
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      const { left, top } = element.getBoundingClientRect();
      const at = { x: event.clientX - left, y: event.clientY - top };
      change((last) => zoomSight(last, Math.exp(-event.deltaY / WHEEL_PX), at));
    };
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, []);
}

/** One pointer moves the map; two, which are fingers, also zoom it. */
function usePointers(change: Change) {
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const way = useRef(0);
  const onPointerDown = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    if (pointers.current.size === 0) way.current = 0;
    pointers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
  };
  const onPointerMove = (event: PointerEvent): void => {
    const last = pointers.current.get(event.pointerId);
    if (last === undefined) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    way.current += Math.abs(dx) + Math.abs(dy);
    const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1];
    pointers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (way.current < CLICK_PX) return;
    // Only now: a click on a node would else be one on the map.
    if (event.currentTarget instanceof Element)
      event.currentTarget.setPointerCapture(event.pointerId);
    if (other === undefined) change((sight) => panSight(sight, -dx, -dy));
    else pinch(event, last, other, change);
  };
  const onPointerUp = (event: PointerEvent): void => {
    pointers.current.delete(event.pointerId);
  };
  return { onPointerDown, onPointerMove, onPointerUp, wasDragged: () => way.current >= CLICK_PX };
}

function pinch(
  event: PointerEvent,
  last: { readonly x: number; readonly y: number },
  other: { readonly x: number; readonly y: number },
  change: Change,
): void {
  const before = Math.hypot(last.x - other.x, last.y - other.y);
  const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
  if (before === 0 || !(event.currentTarget instanceof Element)) return;
  const { left, top } = event.currentTarget.getBoundingClientRect();
  const at = { x: (event.clientX + other.x) / 2 - left, y: (event.clientY + other.y) / 2 - top };
  change((sight) => zoomSight(sight, after / before, at));
}

function sizeOf(element: HTMLElement): Size {
  return { width: element.clientWidth, height: element.clientHeight };
}
