/** This file computes lines between the boxes of the map, and the part of the map that is in sight. */
import type { Place } from './map-layout.ts';

export interface Box extends Place {
  readonly width: number;
  readonly height: number;
}

export interface Line {
  /** The `d` of an SVG path. */
  readonly path: string;
  /** Where its text stands. */
  readonly middle: Place;
}

/** What of the map is in sight: its upper left corner, and pixels a unit. */
export interface Sight {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export const SCALE_MIN = 0.1;
export const SCALE_MAX = 4;
/** How far the middle of a line is beside the straight one, so that both directions can be told apart. */
const BEND = 26;
const LOOP = 46;
const FIT_MARGIN = 36;
/** Few nodes are not blown up to fill a large screen. */
const FIT_SCALE_MAX = 1.15;

/** A line from one box to another, bent to its left, or a loop above the box where both are the same. */
export function lineBetween(from: Box, to: Box, bend = BEND): Line {
  if (from === to || (from.x === to.x && from.y === to.y)) return loopAt(from, bend);
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy);
  const control = {
    x: (from.x + to.x) / 2 + (dy / length) * bend * 2,
    y: (from.y + to.y) / 2 - (dx / length) * bend * 2,
  };
  const start = borderPoint(from, control);
  const end = borderPoint(to, control);
  return {
    path: `M${point(start)} Q${point(control)} ${point(end)}`,
    middle: {
      x: (start.x + 2 * control.x + end.x) / 4,
      y: (start.y + 2 * control.y + end.y) / 4,
    },
  };
}

function loopAt({ x, y, width, height }: Box, bend: number): Line {
  const top = y - height / 2;
  const half = Math.min(40, width / 4);
  const peak = top - LOOP - Math.abs(bend);
  return {
    path: `M${point({ x: x - half, y: top })} C${point({ x: x - half, y: peak })} ${point({ x: x + half, y: peak })} ${point({ x: x + half, y: top })}`,
    middle: { x, y: (top + 3 * peak) / 4 },
  };
}

/** Where the line from the middle of a box to a point leaves the box. */
function borderPoint({ x, y, width, height }: Box, towards: Place): Place {
  const [dx, dy] = [towards.x - x, towards.y - y];
  if (dx === 0 && dy === 0) return { x, y };
  const part = Math.min(
    dx === 0 ? Infinity : (width / 2 + 4) / Math.abs(dx),
    dy === 0 ? Infinity : (height / 2 + 4) / Math.abs(dy),
  );
  return { x: x + dx * part, y: y + dy * part };
}

function point({ x, y }: Place): string {
  return `${Math.round(x * 10) / 10},${Math.round(y * 10) / 10}`;
}

/** All boxes in sight, in the middle. */
export function fitSight(boxes: readonly Box[], size: Size): Sight {
  if (boxes.length === 0 || size.width === 0 || size.height === 0)
    return { x: -size.width / 2, y: -size.height / 2, scale: 1 };
  const left = Math.min(...boxes.map(({ x, width }) => x - width / 2)) - FIT_MARGIN;
  const right = Math.max(...boxes.map(({ x, width }) => x + width / 2)) + FIT_MARGIN;
  const top = Math.min(...boxes.map(({ y, height }) => y - height / 2)) - FIT_MARGIN;
  const bottom = Math.max(...boxes.map(({ y, height }) => y + height / 2)) + FIT_MARGIN;
  const wanted = Math.min(size.width / (right - left), size.height / (bottom - top));
  const scale = clampScale(Math.min(FIT_SCALE_MAX, wanted));
  return {
    x: (left + right) / 2 - size.width / scale / 2,
    y: (top + bottom) / 2 - size.height / scale / 2,
    scale,
  };
}

/** Zooms; what is at this point of the screen stays there. @param at in pixels from the map's corner */
export function zoomSight(sight: Sight, factor: number, at: Place): Sight {
  const scale = clampScale(sight.scale * factor);
  return {
    x: sight.x + at.x / sight.scale - at.x / scale,
    y: sight.y + at.y / sight.scale - at.y / scale,
    scale,
  };
}

/** Moves by so many pixels of the screen. */
export function panSight(sight: Sight, dx: number, dy: number): Sight {
  return { ...sight, x: sight.x + dx / sight.scale, y: sight.y + dy / sight.scale };
}

function clampScale(scale: number): number {
  return Math.min(SCALE_MAX, Math.max(SCALE_MIN, scale));
}
