from rest_framework import serializers

from orders.models import Order


class OrderSerializer(serializers.ModelSerializer):
    owner = serializers.CharField(source="owner.username", read_only=True)
    decided_by = serializers.CharField(source="decided_by.username", read_only=True, default=None)

    class Meta:
        model = Order
        fields = ["id", "owner", "description", "amount", "status", "decided_by", "created_at"]
        read_only_fields = ["status", "created_at"]
