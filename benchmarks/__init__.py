"""What a training costs: the product beside a bare script and the least that anyone could need."""
