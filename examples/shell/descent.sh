#!/bin/sh
# Gradient descent on a valley, in awk: any program in any language will do.
#   descent.sh RATE MOMENTUM STEPS SEED
awk -v rate="$1" -v momentum="$2" -v steps="$3" -v seed="$4" 'BEGIN {
    srand(seed + 1)
    x = 4 + rand(); y = 4 + rand()
    for (step = 1; step <= steps; step++) {
        dx = x + 0.2 * (rand() - 0.5); dy = 20 * y + 0.2 * (rand() - 0.5)
        vx = momentum * vx - rate * dx; vy = momentum * vy - rate * dy
        x += vx; y += vy
        loss = x * x / 2 + 10 * y * y
        if (loss > 1e6) { print "diverged at step " step; exit 3 }
        print "step " step " of " steps ": loss " loss
    }
}'
